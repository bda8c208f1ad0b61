"""The logical pipeline: tables, fields, and the stages that fill them."""
