"""Stripe-like ids over plain integer keys."""
