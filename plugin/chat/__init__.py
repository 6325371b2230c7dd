"""The router as a LangChain chat model."""

from inframind.plugin.chat.model import ChatInfraMind

__all__ = ["ChatInfraMind"]
