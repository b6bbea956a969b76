"""The page in a real browser: it loads nothing, runs nothing but its own script, and does what its keys and buttons say."""

from __future__ import annotations

from typing import Any

import pytest

from support.views import (
    T0,
    attempt,
    batch,
    call,
    eight_batches,
    everything,
    five_calls,
    killed_and_resumed,
    many_calls,
    owner,
    run,
)
from toolslot._domain._slot import SlotState, Verdict
from toolslot._views import DecisionView, RunView
from toolslot._views.timeline import page
from toolslot._views.timeline._layout import timeline

pytestmark = pytest.mark.slow

STORIES = [five_calls, killed_and_resumed, eight_batches, everything, many_calls, run]

HOSTILE = [
    "<script>window.hacked = 1</script>",
    "</script><script>window.hacked = 1</script>",
    '"><img src=x onerror="window.hacked = 1">',
    "'-alert(1)-'",
    "</style></title></textarea><!--",
    "&lt;b&gt; &amp; ]]>",
    "\u202eright to left\u2066",
    "\x00\x1b[31m\x7f\r\n\t",
    "\ud800 lone",
    "🦩 flamingo 🏳️‍🌈",
    "{{7*7}} ${7*7}",
]


def hostile_run() -> RunView:
    """Every text of a run that a model or a user may choose is hostile."""
    text = "".join(HOSTILE)
    ask = attempt(queued=0, started=0.1, until=0.5, state=SlotState.FAILED, error=text)
    decision = DecisionView(verdict=Verdict.FAILED, by=text, why=text, at=T0 + 0.6)
    calls = [
        call(index, name, ask, call_id=name, decision=decision, args={text: text}, result=text, error=text)
        for index, name in enumerate([*HOSTILE, "<b>" + "x" * 2**20])
    ]
    owners = [
        owner(since=0, last_seen=1, until=2, died=True, host=text, why=text),
        owner(2, since=2, last_seen=3, why=text),
    ]
    return run(batch(calls, owners, name=text, adapter=text), run_id=text, damaged=(text,))


@pytest.mark.parametrize("story", [*STORIES, hostile_run])
def test_a_page_asks_for_nothing_and_has_nothing_to_complain_about(browser: Any, story: Any) -> None:
    browser.open(story())
    assert browser.complaints() == []
    assert browser.requested() == [browser.driver.current_url], "itself and nothing else"
    assert browser.ask("return performance.getEntriesByType('resource').length") == 0


def test_hostile_texts_stay_texts(browser: Any) -> None:
    browser.open(hostile_run())
    assert browser.ask("return window.hacked") is None
    assert browser.ask("return document.querySelectorAll('script, img, iframe, link, object').length") == 2
    names = browser.ask("return [...document.querySelectorAll('.tool')].map(node => node.textContent)")
    assert HOSTILE[0] in names
    assert any(name.startswith("\\u202eright") for name in names)
    assert any("🦩" in name for name in names)
    browser.ask("for (const row of document.querySelectorAll('.row')) row.click()")
    assert browser.ask("return window.hacked") is None
    assert browser.ask("return document.querySelectorAll('.facts img, .facts script, .facts b').length") == 0
    facts = browser.ask("return document.querySelector('li[data-state] .facts').textContent")
    assert "<script>window.hacked = 1</script>" in facts
    assert browser.complaints() == []
    assert len(page(hostile_run())) < 500_000


def test_no_script_but_its_own_would_run(browser: Any) -> None:
    """The policy holds even if a text ever got through as markup."""
    browser.open(five_calls())
    browser.ask("""
        const script = document.createElement('script');
        script.textContent = 'window.hacked = 1';
        document.body.append(script);
        const image = document.createElement('img');
        image.src = 'http://127.0.0.1:9/pixel.png';
        document.body.append(image);
    """)
    assert browser.ask("return window.hacked") is None
    assert sum("Content Security Policy" in line for line in browser.complaints()) == 2


# --- the picture --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("story", [killed_and_resumed, eight_batches, everything])
def test_bars_stand_where_the_data_say(browser: Any, story: Any, width: int) -> None:
    browser.open(story(), width=width)
    drawn = browser.ask("""
        return [...document.querySelectorAll('.rows > li[data-state] .track')].map(track => {
            const box = track.getBoundingClientRect();
            return [...track.querySelectorAll('.bar')].map(bar => {
                const at = bar.getBoundingClientRect();
                return [(at.left - box.left) / box.width, at.width / box.width, box.width];
            });
        });
    """)
    rows = [row for lane in timeline(story()).lanes for row in lane.rows]
    assert [len(bars) for bars in drawn] == [len(row.bars) for row in rows]
    for bars, row in zip(drawn, rows, strict=True):
        for (left, size, track), bar in zip(bars, row.bars, strict=True):
            assert left == pytest.approx(bar.left, abs=1 / track)
            assert size == pytest.approx(max(bar.right - bar.left, 0), abs=3.1 / track)


OVERFLOWING = """
    const out = [];
    const seen = node => node.getClientRects().length > 0 && getComputedStyle(node).visibility !== 'hidden';
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const node = walker.currentNode, parent = node.parentElement;
        if (!node.textContent.trim() || !seen(parent) || parent.closest('script, .unseen, .scroll, #tip')) continue;
        const range = document.createRange();
        range.selectNodeContents(node);
        const text = range.getBoundingClientRect();
        const cut = parent.closest('.tool');  // these end in dots, on purpose
        const box = (parent.closest('.bar') || parent.closest('.row, .strip, .axis, header, section') || document.body)
            .getBoundingClientRect();
        if (!cut && (text.left < box.left - 1 || text.right > box.right + 1)) out.push(node.textContent.slice(0, 80));
        if (!cut && parent.scrollWidth > parent.clientWidth + 1 && parent.clientWidth && getComputedStyle(parent).overflowX !== 'visible') {
            out.push('cut: ' + node.textContent.slice(0, 80));
        }
    }
    return out;
"""

OVERLAPPING = """
    const out = [];
    for (const line of document.querySelectorAll('.axis .scale')) {
        const boxes = [...line.children].filter(one => one.getClientRects().length)
            .map(one => [one.textContent, one.getBoundingClientRect()]);
        for (const [a, one] of boxes) for (const [b, two] of boxes) {
            if (one !== two && one.left < two.right && two.left < one.right && one.top < two.bottom && two.top < one.bottom) {
                out.push(a + ' | ' + b);
            }
        }
    }
    for (const row of document.querySelectorAll('.row, .strip')) {
        const took = row.querySelector('.took'), who = row.querySelector('.who');
        const range = document.createRange();
        range.selectNodeContents(who);
        if (took && took.textContent && range.getBoundingClientRect().right > took.getBoundingClientRect().left + 1
            && row.querySelector('.tool').getBoundingClientRect().right > took.getBoundingClientRect().left + 1) {
            out.push(row.textContent.slice(0, 80));
        }
    }
    return out;
"""


@pytest.mark.parametrize("width", [1280, 861, 400, 320])
@pytest.mark.parametrize("story", [five_calls, killed_and_resumed, eight_batches, everything, hostile_run])
def test_no_text_leaves_its_place_or_covers_another(browser: Any, story: Any, width: int) -> None:
    browser.open(story(), width=width)
    assert browser.ask("return document.documentElement.scrollWidth") <= width
    assert browser.ask(OVERFLOWING) == []
    assert browser.ask(OVERLAPPING) == []


CONTRAST = """
    const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
    const rgb = color => {
        canvas.clearRect(0, 0, 1, 1);
        canvas.fillStyle = color;
        canvas.fillRect(0, 0, 1, 1);
        return canvas.getImageData(0, 0, 1, 1).data;
    };
    const light = ([r, g, b]) => [r, g, b].map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
    const ground = node => {
        for (; node; node = node.parentElement) {
            const color = rgb(getComputedStyle(node).backgroundColor);
            if (color[3] > 250) return color;
        }
        return [255, 255, 255];
    };
    const texts = 'h1, .sum, .eyebrow, .chip:not(.reserved), .tool, .n, .took, .again, .axis span, .pill, .bar b, footer';
    return [...document.querySelectorAll(texts)]
        .filter(node => node.getClientRects().length && !node.closest('.owners .bar, .waiting.bar'))
        .map(node => {
            const [a, b] = [light(rgb(getComputedStyle(node).color)), light(ground(node))];
            return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), node.className + ' ' + node.textContent];
        })
        .filter(([ratio]) => ratio < 4.5);
"""


@pytest.mark.parametrize("dark", [False, True])
def test_every_text_can_be_read(browser: Any, dark: bool) -> None:
    browser.open(everything(), dark=dark)
    assert browser.ask(CONTRAST) == []


# --- looking closer -----------------------------------------------------------------------------------------------------


def focused(browser: Any) -> str | None:
    return browser.ask("return document.activeElement.dataset.n ?? null")


def tab_to_the_rows(browser: Any) -> None:
    from selenium.webdriver import Keys

    for _ in range(20):
        browser.press(Keys.TAB)
        if focused(browser) is not None:
            return
    raise AssertionError("the tab key never reached a row")


def test_the_keyboard_reaches_every_call_and_opens_it(browser: Any) -> None:
    from selenium.webdriver import Keys

    browser.open(killed_and_resumed())
    tab_to_the_rows(browser)
    assert focused(browser) == "owners-1"
    browser.press(Keys.ARROW_DOWN, Keys.ARROW_DOWN)
    assert focused(browser) == "1"
    assert "pay_rent" in browser.ask("return document.querySelector('#tip.on').textContent")
    browser.press(Keys.ENTER)
    opened = browser.ask("return document.activeElement.nextElementSibling.textContent")
    assert "idempotency key" in opened
    assert browser.ask("return document.activeElement.getAttribute('aria-expanded')") == "true"
    browser.press(Keys.ESCAPE)
    assert browser.ask("return document.activeElement.getAttribute('aria-expanded')") == "false"
    browser.press(Keys.END)
    assert focused(browser) == "7"
    browser.press(Keys.HOME)
    assert focused(browser) == "owners-1"


def test_the_focus_can_be_seen(browser: Any) -> None:
    browser.open(killed_and_resumed())
    tab_to_the_rows(browser)
    outline = browser.ask(
        "const s = getComputedStyle(document.activeElement); return [s.outlineStyle, s.outlineWidth]"
    )
    assert outline == ["solid", "2px"]


def test_each_batch_is_one_stop_of_the_tab_key(browser: Any) -> None:
    browser.open(eight_batches())
    assert browser.ask("return document.querySelectorAll('.row[tabindex=\"0\"]').length") == 8


def test_the_pointer_shows_a_card_and_a_click_opens_the_attempts(browser: Any) -> None:
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.by import By

    browser.open(killed_and_resumed())
    row = browser.driver.find_element(By.CSS_SELECTOR, '.row[data-n="6"]')
    ActionChains(browser.driver, duration=0).move_to_element(row).perform()
    assert "attempt 1" in browser.ask("return document.querySelector('#tip.on').textContent")
    row.click()
    facts = browser.ask("return document.querySelector('li > .facts').textContent")
    assert "owner died" in facts
    assert "pid 4711" in facts
    assert "pid 4712" in facts


def test_the_owners_tell_how_each_came_by_the_batch(browser: Any) -> None:
    browser.open(everything())
    browser.ask("document.querySelector('.row.owners').click()")
    facts = browser.ask("return document.querySelector('li > .facts').textContent")
    for expected in ("pid 4711 on worker-1", "the one before was dead", "stopped by a debugger", "at most 2"):
        assert expected in facts


def test_a_state_of_the_legend_shows_its_calls_alone(browser: Any) -> None:
    from selenium.webdriver import Keys

    browser.open(many_calls(300))
    left = "return [...document.querySelectorAll('li[data-state]')].filter(one => one.getClientRects().length).length"
    browser.ask("document.querySelector('.legend [data-state=failed]').click()")
    assert browser.ask(left) == 3
    tab_to_the_rows(browser)
    browser.press(Keys.ARROW_DOWN)
    assert focused(browser) == "13"
    browser.ask("document.querySelector('.legend [data-state=failed]').click()")
    assert browser.ask(left) == 300


def test_the_theme_follows_the_system_until_it_is_chosen(browser: Any) -> None:
    ground = "return getComputedStyle(document.body).backgroundColor"
    light = browser.open(five_calls()).ask(ground)
    dark = browser.open(five_calls(), dark=True).ask(ground)
    assert light != dark
    assert browser.ask("return document.getElementById('theme').textContent") == "Light theme"
    browser.ask("document.getElementById('theme').click()")
    assert browser.ask(ground) == light
    assert browser.ask("return document.getElementById('theme').textContent") == "Dark theme"
    browser.ask("document.getElementById('theme').click()")
    assert browser.ask(ground) == dark


def test_those_who_hear_the_page_get_a_sentence_per_call_and_a_table(browser: Any) -> None:
    browser.open(killed_and_resumed())
    labels = browser.ask(
        "return [...document.querySelectorAll('.row')].map(row => row.getAttribute('aria-label'))"
    )
    assert "Call 1, pay_rent, succeeded, took 480 ms, replayed" in labels
    assert any("pid 4711 on worker-1 died" in label for label in labels)
    assert browser.ask("return document.querySelectorAll('tbody tr').length") == 8
    assert browser.ask("return [...document.querySelectorAll('th')].every(th => th.scope === 'col')")


def test_what_is_printed_is_light_and_whole(browser: Any) -> None:
    browser.open(five_calls(), dark=True)
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert (
        browser.ask("return getComputedStyle(document.querySelector('.batch')).backgroundColor")
        == "rgb(255, 255, 255)"
    )
    assert browser.ask("return getComputedStyle(document.getElementById('theme')).display") == "none"
    pdf = browser.driver.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})
    assert pdf["data"]
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


# --- size ---------------------------------------------------------------------------------------------------------------


def test_a_thousand_calls_are_small_and_quickly_painted(browser: Any) -> None:
    assert len(page(many_calls(1000)).encode()) < 2_000_000
    paint = "return performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null"
    painted: list[float] = []
    for _ in range(6):  # the best of some: a busy machine does not decide
        if painted and min(painted) < 1000:
            break
        browser.open(many_calls(1000))
        browser.driver.set_script_timeout(30)
        browser.driver.execute_async_script(
            "const done = arguments[0]; requestAnimationFrame(() => setTimeout(done, 0))"
        )
        painted += [time for time in [browser.ask(paint)] if time is not None]
    assert painted
    assert min(painted) < 1000, painted
