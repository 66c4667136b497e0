"""Configuration: its sections as pydantic models, and how it is loaded and checked."""
