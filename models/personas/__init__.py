"""Personas: groups of like-minded shoppers, found without labels, named by what sets them apart."""

from models.personas.fit import Personas, fit_personas
from models.personas.names import PersonaText, describe

__all__ = ["PersonaText", "Personas", "describe", "fit_personas"]
