"""The Pod Security Standards: three levels, each a list of checks of a Pod's spec. Pure.

`policy` reads what a namespace asks for, `checks` says what a Pod would break of it.
Source: concepts/security/pod-security-standards, pod-security-admission.
"""
