"""What calls of models cost the seller: by a table of the providers' prices, or by the seller's own
prices."""
