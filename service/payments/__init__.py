"""Payment intents: what a merchant's system asks for before somebody pays."""
