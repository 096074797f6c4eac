"""Turns reports into pictures and pages."""
