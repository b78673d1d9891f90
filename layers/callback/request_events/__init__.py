"""One AI request as the Impact Service counts it: the event, its capture in LiteLLM, and its delivery."""
