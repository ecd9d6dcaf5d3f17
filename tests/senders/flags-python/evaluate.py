"""Evaluates flags with OpenFeature's Python SDK and its OFREP provider: `evaluate.py URL`.

Reads a JSON array of `{"type", "key", "default", "context"}`, and prints one of `{"value", "variant", "reason", "error"}`.
"""

import json
import logging
import sys

from openfeature import api
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext

# The SDK logs each failed evaluation; failures are part of what is asked here.
logging.disable(logging.CRITICAL)
api.set_provider(OFREPProvider(base_url=sys.argv[1]))
client = api.get_client()
METHODS = {
    "boolean": client.get_boolean_details,
    "string": client.get_string_details,
    "integer": client.get_integer_details,
    "float": client.get_float_details,
    "object": client.get_object_details,
}


def evaluate(asked):
    context = dict(asked["context"])
    context = EvaluationContext(targeting_key=context.pop("targetingKey", None), attributes=context)
    details = METHODS[asked["type"]](asked["key"], asked["default"], context)
    return {
        "value": details.value,
        "variant": details.variant,
        "reason": details.reason,
        "error": details.error_code,
    }


json.dump([evaluate(asked) for asked in json.load(sys.stdin)], sys.stdout)
api.shutdown()
