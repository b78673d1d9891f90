"""Sums that are exact, and numbers as DynamoDB keeps them."""

from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal, Inexact

EXACT = Context(prec=200, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[Inexact])
"""Sums are exact, or they fail: nothing is rounded on the way."""
STORED = Context(prec=38)
"""What a DynamoDB number keeps. A sum or a quotient rounds here, once, if it has more than 38 digits."""

ZERO = Decimal(0)


def stored(number: Decimal) -> Decimal:
    """Write a number as DynamoDB keeps it: at most 38 digits, no exponent, no trailing zeros."""
    return Decimal(format(STORED.normalize(number), "f"))


def quotient(dividend: Decimal, divisor: Decimal) -> Decimal:
    """Divide, rounding once, to 38 digits."""
    return stored(STORED.divide(dividend, divisor))
