"""The rules of billing, pure and exact: no I/O, no clock, no framework.

Read the modules in this order to learn the domain: `amounts` (money as integers), `assets` and
`rates` (what money is counted in, and bought for), `instants` and `periods`, `ids`, `problems` (how
a rule says no) and `explaining` (what is wrong with JSON), `given` (what callers choose), `prices`
(what a seller may ask) and `price_checks` (what not), `volumes`, `expressions` and `costs` (how
much an event used, and cost the seller), `compiled`, `pricing` and `tiers` (what it costs the
customer), `plans` and `plan_checks` (what is due by itself), `plan_fees`, `subscriptions` (which
prices a customer has), `grants` (credit, and its order of use), `holds` (credit that is set aside),
`accounts` (balances and transfers), `timeline` (what time does to them), `wallet` (what commands do
to them), `windows` and `limits` (how much may be used in a time), `limiting` (use held against
them), `rules` (what holds for one customer alone), `customers`, `events`, `transactions`,
`payments` (by `payment_rules`, with `bonuses`; `returning` takes back), `collecting` (what a saved
card is asked for), `refunds` and `outcomes` (what a use costs that is confirmed, changed or
withdrawn later); then time: `cycles`, `switching` and `renewing` (what it brings to subscriptions),
`dunning` (what becomes of those that are not paid), `subscribing` (commands on them); then the
gate: `slices` and `estimates` (what a use costs piece by piece, and what it will cost),
`hold_requests`, `gate`, `authorizing`, `settling`, `capturing`, `sessions`; then `decision` (what
comes of a command, as a value), what others are told: `alerts`, `topics`, `telling`, what cards are
asked (`asking`); and last `decide`, where a command meets a customer's state and becomes rows and
an answer. `chain` is what makes it visible when somebody edits transfers afterwards. Where less is
paid than prices ask: `discounts` and `commitments` are the terms, `discounting` takes discounts off
bills, `reducing` takes both off the fees for uses; `conversion` is for what another asset pays.
What would be is in `imagined`, `simulating`, `monthly` and `previewing`, how far a balance goes in
`uses_left`; what customers see and set for themselves is in `portal` (with `colours` and
`pictures`), `own_limits` and `own_plans`; what two versions have not in common, in
words, in `differences`, `price_differences`, `commitment_differences` and `wording`; what is earned
in `margins`. What outside systems tell is `observed`, and becomes events by `mapping`
(`mapping_defaults` until somebody sets other rules). What others are told of is in `topics`.

Time, ids and randomness are always arguments, so the same input gives the same output, for ever.
"""
