"""From a step that is due to the message that asks for it. Pure."""
