"""CertificateSigningRequests: approved, signed, and cleared away."""
