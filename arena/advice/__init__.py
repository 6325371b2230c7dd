"""Whether advice is any good: hidden people who accept or do not, and worlds with something wrong to be found."""
