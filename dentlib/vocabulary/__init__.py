"""What practice systems call their things: shared dental terms in several languages, and one overlay per product.

All of it is YAML (`dental.yaml` and `<product>.yaml`); a new product is a new overlay file.
"""

from __future__ import annotations

from dentlib.vocabulary.load import known_sources, load_vocabulary
from dentlib.vocabulary.words import FieldWords, ObjectWords, Vocabulary

__all__ = ["FieldWords", "ObjectWords", "Vocabulary", "known_sources", "load_vocabulary"]
