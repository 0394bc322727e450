"""Event → feature: the Bytewax flows of Inlay, their steps, and the tools that feed them."""
