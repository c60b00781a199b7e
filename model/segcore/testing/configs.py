"""The contract of every configuration that is a row of a table."""

from segcore.config import from_json, to_json
from segcore.registry import Choice


def check_config(config: Choice) -> None:
    """A configuration goes through JSON, and says which row it is."""
    name = config.name
    assert type(config).choice(name) is type(config), f"{name} is registered for another class"
    values = to_json(config)
    assert values["name"] == name, "the name must be in the JSON"
    base = next(c for c in type(config).__mro__ if "table" in c.__dict__)
    assert from_json(base, values) == config, "what was written must be read back the same"
