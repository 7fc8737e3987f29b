"""What radios do to signals: hardware, pilots, estimation, precoding."""
