"""Shows how much of every ResourceQuota is used."""
