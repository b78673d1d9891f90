"""The demo: users chat through a real LiteLLM proxy, and the stack on MiniStack sums up their days.

Only the AI providers are fake. Every number is compared with what these providers have served.
"""
