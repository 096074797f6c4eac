"""Outliers: scores, what they compare with, p-values, and images or whole sets judged by them."""
