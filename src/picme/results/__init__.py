"""Result tables: their declarations, how they are collected from a study's steps, and how they are written."""
