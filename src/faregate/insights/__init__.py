"""What is earned and what it costs: statistics over what was booked. They never change anything."""
