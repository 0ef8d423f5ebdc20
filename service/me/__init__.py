"""The customer's own page, under ``/me``: what is stored, where it was used, and how to end it.

Server-rendered like the console; what a page does is an act of :mod:`service.customers.acts`.
Whose page it is says the session alone: no address and no form names an account.
"""
