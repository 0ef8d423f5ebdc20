"""The operators' console: pages that translate, and decide nothing.

Server-rendered, under ``/console``. Every page names the roles that may see it
(:mod:`service.console.frame`); what a page does is an act of :mod:`service.operators.acts`.
"""
