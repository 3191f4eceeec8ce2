"""Phrasings and item words that training never sees; written before any score was known, not changed since.

Only `shop.py` and the tests read this list. `{order}`, `{item}` and `{day}` are filled in; nothing else is.
"""

UNSEEN_CORES: dict[str, tuple[str, ...]] = {
    "order_status": (
        "Could you let me know how far along order {order} is?",
        "I still haven't seen any sign of the {item} from {order}.",
        "The tracking page for {order} hasn't moved since {day}, what is going on?",
        "When can I expect the {item} to turn up?",
        "Has my {item} left your warehouse yet?",
        "I was promised the {item} on {day} and nobody has shown up.",
        "What's happening with {order}? I thought it would be here by now.",
        "Is the {item} I paid for actually on its way?",
    ),
    "cancel_order": (
        "I've changed my mind, please don't send the {item}.",
        "Could you stop order {order} before it goes out?",
        "We no longer need the {item}, so please scrap order {order}.",
        "I ordered the {item} by mistake on {day}, take it off please.",
        "Kindly call off {order}.",
        "Forget about order {order}, I found it cheaper elsewhere.",
        "Is it too late to back out of order {order}?",
        "Please withdraw my purchase of the {item}.",
    ),
    "return_item": (
        "The {item} is not what I had in mind, how can I get it back to you?",
        "Where do I post the {item} if I don't want to keep it?",
        "I'd rather not keep the {item} from order {order}.",
        "Can a courier pick the {item} up from me on {day} so it goes back to you?",
        "What do I need to do to hand back the {item}?",
        "Please email me a label so I can ship the {item} back, order {order}.",
        "The {item} isn't for me, I would like to give it back.",
        "I'm not happy with the {item}, do you accept it back after {day}?",
    ),
    "refund": (
        "You still owe me the money for the {item}.",
        "I dropped off the {item} on {day} but nothing has come back to my card.",
        "When will the amount for order {order} be back in my account?",
        "Please pay me back for order {order}.",
        "I was charged twice for the {item}, please put that right.",
        "I expect to be reimbursed for the {item}.",
        "My bank shows no credit from you for order {order}.",
        "How long until I get the cash back for the {item}?",
    ),
    "exchange_item": (
        "The {item} is too small, could I have a bigger one in its place?",
        "Would it be possible to trade the {item} for one in green?",
        "I picked the wrong colour of {item} in order {order}, can we switch it?",
        "Instead of the {item} I'd prefer the next size up.",
        "Please replace the {item} with a different size.",
        "Can I get the {item} in another shade and send you this one?",
        "The {item} that came on {day} doesn't fit, I need it one size larger.",
        "I'd like a different version of the {item} from order {order} in place of mine.",
    ),
    "change_address": (
        "We've moved house, so order {order} has to go somewhere else.",
        "I typed the wrong street for order {order}.",
        "Could the {item} be dropped at my office and not at home?",
        "Please bring order {order} to my neighbour's place.",
        "The postcode on order {order} is out of date.",
        "I'd like the {item} to go to my parents' house.",
        "My flat number is missing from order {order}, can you fix that?",
        "From {day} I live elsewhere, so please reroute the {item}.",
    ),
    "change_delivery": (
        "I won't be at home, could the {item} come on {day}?",
        "{day} would suit me better for order {order}.",
        "Nobody is in before {day}, so please hold order {order} until then.",
        "Can you push the drop-off of order {order} to {day}?",
        "Is there any way to get the {item} a bit later, say on {day}?",
        "Please arrange for the driver to come on {day} with the {item}.",
        "We are away this week, so {day} is the earliest for order {order}.",
        "Would {day} work for bringing the {item}?",
    ),
    "stock": (
        "Is the {item} something you carry?",
        "Do you think the {item} will be back on the shelves by {day}?",
        "Your site says the {item} is sold out, when does more arrive?",
        "Can I still get hold of a {item}?",
        "How many of the {item} are left?",
        "I'd love to buy the {item}, is there one left?",
        "Could I pick up a {item} in the shop on {day}?",
        "Are you going to have the {item} again?",
    ),
    "damaged_item": (
        "The {item} fell apart the first time I used it.",
        "One corner of the {item} is smashed.",
        "I opened the box on {day} and the {item} was in pieces.",
        "The {item} from order {order} won't switch on.",
        "There is a big scratch across the {item}.",
        "What turned up in order {order} is all dented.",
        "My {item} came with a crack in it.",
        "The {item} stopped working on {day}, after just one use.",
    ),
    "invoice": (
        "My accountant is asking for the paperwork for order {order}.",
        "Could you email me proof of purchase for the {item}?",
        "I can't find the bill for order {order}.",
        "Please make out the receipt for the {item} to my company.",
        "The VAT number is missing on the document for order {order}.",
        "I need something for my tax return that shows what the {item} cost.",
        "Where can I download the bill for what I bought on {day}?",
        "Would you mind sending a copy of the invoice for order {order}?",
    ),
}

# fmt: off
UNSEEN_NOUNS: tuple[str, ...] = (
    "toaster", "saddle", "binoculars", "ukulele", "hammock", "cardigan", "skillet", "flute", "anvil",
    "compass", "doormat", "gloves", "trellis", "thermos", "sandals", "kayak", "stapler", "quilt",
    "pruner", "tripod", "apron", "violin", "magnet", "goggles", "spatula", "wallet", "easel",
    "fountain", "dumbbell", "tent", "whistle", "colander", "juicer", "pillowcase", "scooter", "abacus",
    "lantern", "hoodie", "drone", "chisel",
)
UNSEEN_ADJECTIVES: tuple[str, ...] = (
    "turquoise", "foldable", "quilted", "vintage", "bamboo", "crimson", "insulated", "marble",
    "compact", "nautical",
)
# fmt: on
