"""The JavaScript engine as a guest: source, built artefact and what plugins find around themselves."""
