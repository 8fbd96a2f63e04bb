"""A product as the fields of a form, and back: `branches` (flat names as a tree), `acting` (what
its buttons do), `parts` and `reading` (form to request), `writing` (version to form), `places`
(which field an error is about), `previews` (what it comes to). Nothing is lost on the way: a price
that the form cannot show stays JSON in it.
"""
