"""An emulator of Anthropic's Message Batches API, over HTTP on loopback.

For tests, for demos and for your own CI: any client of the API can talk to it, it costs nothing,
and its time moves as a test wants. It is not a model: replies are deterministic texts made of
the words of the prompt. What is to go wrong can be planned: see `EmulatorClient.plan`.
"""

from meshflow_prefect.emulator.client import EmulatorClient, EmulatorError
from meshflow_prefect.emulator.server import Emulator, serve
from meshflow_prefect.emulator.settings import EmulatorSettings

__all__ = ["Emulator", "EmulatorClient", "EmulatorError", "EmulatorSettings", "serve"]
