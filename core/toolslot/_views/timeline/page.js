"use strict";
(() => {
  const facts = JSON.parse(document.getElementById("facts").textContent);
  let rows = [...document.querySelectorAll(".row")];
  const tip = document.getElementById("tip");

  // Texts come from models and users: they are only ever set as text.
  const fill = (list, entry, most) => {
    list.replaceChildren();
    const add = (tag, text, name) => {
      const node = document.createElement(tag);
      node.textContent = text;
      if (name) node.className = name;
      list.append(node);
    };
    add("dt", entry[0], "title");
    for (let i = 1; i < Math.min(entry.length, most); i += 2) {
      add("dt", entry[i]);
      add("dd", entry[i + 1]);
    }
  };

  const toggle = (row) => {
    const open = row.nextElementSibling;
    if (open) {
      open.remove();
    } else {
      const list = document.createElement("dl");
      list.className = "facts";
      list.id = `facts-${row.dataset.n}`;
      fill(list, facts[row.dataset.n], Infinity);
      row.after(list);
      row.setAttribute("aria-controls", list.id);
    }
    row.setAttribute("aria-expanded", String(!open));
    hide();
  };

  // --- the card beside the pointer, or below the row that has the focus
  const place = (x, y) => {
    tip.classList.add("on");
    const { width, height } = tip.getBoundingClientRect();
    tip.style.left = `${Math.max(12, Math.min(x, innerWidth - width - 12))}px`;
    tip.style.top = `${y + height + 12 < innerHeight ? y : Math.max(12, y - height - 44)}px`;
  };
  const show = (row, x, y) => {
    if (row.getAttribute("aria-expanded") === "true") return hide();
    fill(tip, facts[row.dataset.n], 21);
    place(x, y);
  };
  const hide = () => tip.classList.remove("on");

  // --- one stop of the tab key per batch; arrows move on from there
  const reach = (row) => {
    const list = row.closest(".rows");
    for (const other of list.querySelectorAll('.row[tabindex="0"]')) other.tabIndex = -1;
    row.tabIndex = 0;
  };
  for (const row of rows) row.tabIndex = -1;
  for (const list of document.querySelectorAll(".rows")) reach(list.querySelector(".row"));

  const target = (key, at) => {
    if (key === "ArrowDown") return rows[at + 1];
    if (key === "ArrowUp") return rows[at - 1];
    if (key === "Home") return rows[0];
    if (key === "End") return rows[rows.length - 1];
    return undefined;
  };
  document.addEventListener("keydown", (event) => {
    const row = event.target.closest(".row");
    if (event.key === "Escape") {
      hide();
      if (row && row.getAttribute("aria-expanded") === "true") toggle(row);
    }
    if (!row || event.ctrlKey || event.metaKey || event.altKey) return;
    const next = target(event.key, rows.indexOf(row));
    if (!next) return;
    event.preventDefault();
    reach(next);
    next.focus();
  });
  document.addEventListener("click", (event) => {
    const row = event.target.closest(".row");
    if (row) toggle(row);
  });
  document.addEventListener("focusin", (event) => {
    const row = event.target.closest(".row");
    if (!row || !row.matches(":focus-visible")) return hide();
    reach(row);
    const box = row.getBoundingClientRect();
    show(row, box.left + 40, box.bottom + 6);
  });
  document.addEventListener("focusout", hide);
  document.addEventListener("pointermove", (event) => {
    const row = event.pointerType === "mouse" && event.target.closest(".row");
    if (row) show(row, event.clientX + 14, event.clientY + 18);
    else if (event.pointerType === "mouse") hide();
  });
  document.addEventListener("scroll", hide, { passive: true });

  // --- the legend: one state at a time
  const picks = [...document.querySelectorAll(".legend button")];
  const only = (state) => {
    for (const pick of picks) pick.setAttribute("aria-pressed", String(pick.dataset.state === state));
    for (const item of document.querySelectorAll(".rows > li[data-state]")) {
      item.hidden = state !== null && item.dataset.state !== state;
    }
    rows = [...document.querySelectorAll(".rows > li:not([hidden]) > .row")];
    for (const list of document.querySelectorAll(".rows")) {
      const first = list.querySelector(":scope > li:not([hidden]) > .row");
      if (first) reach(first);
    }
  };
  for (const pick of picks) {
    pick.addEventListener("click", () =>
      only(pick.getAttribute("aria-pressed") === "true" ? null : pick.dataset.state),
    );
  }

  const theme = document.getElementById("theme");
  const dark = () => {
    const chosen = document.documentElement.dataset.theme;
    return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  };
  const told = () => {
    theme.textContent = dark() ? "Light theme" : "Dark theme";
  };
  theme.hidden = false;
  theme.addEventListener("click", () => {
    document.documentElement.dataset.theme = dark() ? "light" : "dark";
    told();
  });
  told();
})();
