"""The evidence: what a guest recorded, compared between witnesses; and why a run did not end well."""
