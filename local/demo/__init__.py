"""The whole path on real parts: users chat through a LiteLLM proxy, and the stack counts their days.

Only the AI providers are fake. What they say they served is what every figure is compared with.
"""
