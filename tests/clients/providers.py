"""Which server stands for the provider of which class."""

from __future__ import annotations

from collections.abc import Callable

from clients.apis.anthropic import Anthropic
from clients.apis.bedrock import Bedrock
from clients.apis.gemini import Gemini
from clients.apis.mistral import Mistral
from clients.apis.ollama import Ollama
from clients.apis.openai_chat import OpenAIChat
from clients.apis.openai_responses import OpenAIResponses
from clients.loopback import Api

APIS: dict[str, Callable[[], Api]] = {
    "openai": OpenAIChat,
    "openai-responses": OpenAIResponses,
    "openai-like": lambda: OpenAIChat(reasoning="reasoning_content"),
    "anthropic": Anthropic,
    "google-genai": Gemini,
    "mistralai": Mistral,
    "ollama": Ollama,
    "bedrock": Bedrock,
}
