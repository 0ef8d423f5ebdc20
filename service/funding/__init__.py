"""Outside money: the processors that hold, capture, release and refund it. No database."""
