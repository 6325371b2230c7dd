"""What serves: endpoints, the timed client, load readings, breakers, limits and the clock."""
