"""Exact sums, and numbers as DynamoDB stores them."""

from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal, Inexact

EXACT = Context(prec=200, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[Inexact])
"""A sum is exact, or it raises Inexact: nothing is rounded on the way."""
STORED = Context(prec=38)
"""The precision of a DynamoDB number. A sum or a quotient of more than 38 digits is rounded here, once."""

ZERO = Decimal(0)


def stored(number: Decimal) -> Decimal:
    """Write a number as DynamoDB stores it: at most 38 digits, no exponent, no trailing zeros."""
    return EXACT.add(STORED.normalize(number), ZERO)  # a sum with 0 has no positive exponent


def quotient(dividend: Decimal, divisor: Decimal) -> Decimal:
    """Divide, and round once, to 38 digits."""
    return stored(STORED.divide(dividend, divisor))
