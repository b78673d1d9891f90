"""What LiteLLM handed to its callbacks, as it was recorded."""

import json
from pathlib import Path

PAYLOADS = {
    path.stem: json.loads(path.read_text())["kwargs"]
    for path in sorted((Path(__file__).parent / "payloads").glob("*.json"))
}
