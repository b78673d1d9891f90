"""A guardrail that rejects some prompts and charges each check. It lies beside LiteLLM's configuration."""

from typing import Any

from fastapi import HTTPException
from litellm.integrations.custom_guardrail import CustomGuardrail

FEE = 0.0015


class Guardrail(CustomGuardrail):  # type: ignore[misc]
    async def async_pre_call_hook(
        self, user_api_key_dict: object, cache: object, data: dict[str, Any], call_type: str
    ) -> dict[str, Any]:
        prompt = str(data.get("messages"))
        blocks = "#blocked" in prompt
        if "#fee" in prompt:
            self.add_standard_logging_guardrail_information_to_request_data(
                guardrail_json_response={"blocked": blocks},
                request_data=data,
                guardrail_status="guardrail_intervened" if blocks else "success",
                tracing_detail={"guardrail_cost": FEE},
            )
        if blocks:
            raise HTTPException(status_code=400, detail={"error": "blocked"})
        return data
