"""Money in: who collects it (`provider` and its implementations), and where each payment stands."""
