"""What the demo's customers say: the raw material from which `tickets` makes whole messages.

One phrase a line; `[a|b]` stands for one of its alternatives (they nest), `{order}` for a value that
`VALUES` lists. The phrases of one label share their key words with other labels on purpose: "charged"
is said by those who want money back and by those who dispute a bill, "parcel" by the late, the broken
and the mixed up. Every phrase still has one label for a careful reader. All of it is our own wording.
"""

VALUES: dict[str, tuple[str, ...]] = {
    "item": (
        *("headset", "tablet", "coffee machine", "router", "smartwatch", "keyboard", "vacuum cleaner", "monitor"),
        *("speaker", "camera", "book reader", "printer", "doorbell", "desk lamp", "toaster", "laptop", "webcam"),
        *("hard drive", "phone case", "charger", "projector", "game pad", "kettle", "radio", "microphone"),
    ),
    "day": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    "month": ("January", "February", "March", "April", "May", "June", "August", "October", "November"),
    "n": ("two", "three", "four", "five", "six", "3", "4", "8", "ten"),
    "plan": ("subscription", "plan", "membership", "monthly plan", "premium plan", "contract", "yearly pass"),
    "place": ("Leeds", "Graz", "Utrecht", "Lyon", "Bremen", "Cork", "Malmo", "Porto", "Turin", "Basel"),
    "person": ("Ana", "Jonas", "Mr Weller", "Priya", "Tom", "Ms Okafor", "Lukas", "Chiara", "Dana", "Mehmet"),
    "bot": ("Quibbo", "Quibbo", "Quibbo", "Quibbo Mini", "Quibbo Two", "little Quibbo"),
}

# Words that one customer says where another says the neighbour on the line.
SAME_THING = """
    parcel|package|shipment
    please|kindly|pls|would you please
    money|cash
    account|profile|user account
    delete|remove|erase|wipe
    cancel|terminate|end|call off
    invoice|bill|receipt
    voucher|coupon|gift code
    password|passcode|secret word
    broken|busted|kaput
    damaged|battered|wrecked|banged up
    cracked|split|fractured
    shattered|splintered|in splinters
    wrong|incorrect|mistaken
    charged|billed|debited
    charge|debit|deduction
    card|bank card|credit card
    courier|driver|delivery man
    repair|fix|patch up
    repaired|fixed|mended
    warranty|guarantee
    log in|sign in|get in
    login|sign-in
    ordered|bought|paid for
    order|purchase
    returned|handed back|gave back
    rude|impolite|nasty|offhand
    praise|commend|compliment
    complain|grumble|protest
    agent|colleague|employee|adviser
    support|helpdesk|customer care
    hotline|phone line
    I want|I would like|I'd like|I wish for
    I want to|I would like to|I'd like to|I wish to|I have decided to|let me
    I need|I require|I must have|I can't do without
    where is|what became of|any news of|where did you leave
    how do I|how can I|what must I do to|tell me how to|is there a way to
    can I|may I|am I able to
    can you|could you|would you|are you able to
    does not work|doesn't work|fails|is useless
    stopped working|gave up|died on me|packed up|conked out
    still waiting|waiting in vain|sitting here waiting
    nothing|zero|nada
    website|site|web page
    app|phone app|application
    today|right away|this minute
    late|delayed|behind schedule
    overdue|past its date
    screen|display
    carton|packaging
    data|details|information
    moved|relocated|moved house
    street|road
    flat|apartment
    email|e-mail
    expired|lapsed|ran out
    rejected|refused|turned down|declined
    send|mail|forward
    delivered|dropped off
    customer|client|buyer
    dent|bump|ding
    crack|split
    scratch|scrape|mark
    discount|rebate|price cut
    battery|power pack
    expensive|dear|pricey
    stop|halt|put an end to
    renew|extend|prolong
    copy|duplicate
    tax return|tax form
    accountant|tax adviser|bookkeeper
    confirm|acknowledge
    paid back|repaid|reimbursed
    pay|settle
    missing|lacking|not there
    locked out of|shut out of|barred from
    on the phone|in the call|over the phone
    brand new|factory new
    exchange|swap
    waterproof|safe in the rain|sealed against water
    difference|distinction
    recommend|suggest|advise
    mistake|error|slip
    friendly|kind|pleasant
    unfriendly|cold|surly
    patient|calm
"""

MATTERS: dict[str, str] = {
    "account_deletion": """
        please [delete|remove|erase] my account
        I want my [profile|account] and all my data gone
        close my [customer account|profile] for good
        wipe everything you have stored about me
        under the privacy law I ask you to erase my personal data
        how can I [get rid of|permanently remove] my customer profile
        I don't shop here any more, so take me out of your system
        forget me, literally, [my name, my orders, my card|every record]
        my [mother|father] passed away, please remove her login and records
        I have two accounts by mistake and want the older one to disappear
        your delete button in the settings does nothing, do it for me
        I have no subscription left and no orders open, so there is no reason to keep my details
        do not just cancel my plan, remove me completely
        cancelling was easy, but my profile is still there and I want it gone
        I can still log in although I asked you to delete me [{n} weeks|a month] ago
        whoever opened an account with my address, it was not me, so destroy it
        what happens to my data if I leave, and can you scrub it all today
        I exercise my right to be forgotten
        no trace of me should remain with you after this [month|week]
        unregister my email [address|] from the shop
        take my address and card off your servers, I am leaving for good
        please confirm in writing that every record of me has been destroyed
        my account got hacked once, I'd rather not have one at all any more
        I am not a customer any more and do not wish to exist in your database
        end my registration [please|completely|]
        stop holding my order history, birthday and phone number, I want out altogether
        my [son|daughter] signed up without asking us, please erase the profile
        deactivating is not enough, I mean deletion
        purge my details, [invoices aside|nothing kept]
        remove my user name from your shop [today|please|for ever]
    """,
    "address_change": """
        please change my [delivery|shipping|home] address
        we [moved|are moving] to {place}, update our details
        I [have moved|moved house], my new street is [Mill Lane|Birch Road|Harbour Street] [4|17|52]
        the postcode in my profile is [out of date|wrong by one digit], can you correct it
        send order {order} to my [office|parents' place|neighbour] instead
        can the parcel go to a different [house|street|pickup shop]
        from {month} on I live in {place}, so ship everything there
        I typed the wrong house number at checkout, please fix it before it leaves
        my flat number is missing on the label of [the next parcel|order {order}]
        how do I put another [street|delivery place] into my account
        the account page won't let me save where I live now
        new flat, new street, same customer
        I won't be at home, redirect it to [my work|the post office in {place}]
        invoices and parcels should both go to our new premises from {month}
        the subscription box still goes to my old flat
        my order is not late, it is just heading for where I used to live
        you have us under the old house, we left [there|it] in {month}
        please forward the {item} to {place}, I got a new job there
        take the old street out and put the new one in
        after the wedding we live at my husband's place, adapt my details
        I got divorced and no longer live at the place you have on file
        parcels keep reaching the previous tenant's door, mine is number [9|21|33] now
        can I still alter the destination of a parcel that has not shipped yet
        deliver to the back entrance in [Quay Street|Garden Row], not the old shop front
        we are relocating our office, please note the new location
        the town is right but the street is not, it should be [Elm Court|Station Road]
        my student room is over, ship to my parents in {place} from now on
        for the summer please send things to our cottage near {place}
        where in the settings do I enter that I moved
        the billing address on my account has to be my company's, please switch it
    """,
    "billing_charge": """
        I was charged twice for [order {order}|the same {item}|one order]
        there is a [charge|payment] of {money} on my card that I don't recognise
        why did you take {money} when the {item} cost less
        what is this {money} on my bank statement
        you billed me for a {plan} I never ordered
        the price went up from one month to the next and nobody told me
        I paid by transfer and you debited my card as well
        the total at checkout was lower than what [you took|left my account]
        please explain the fee of {money} on my last bill
        my plan should be [9|12|15] a month, you took nearly double in {month}
        a delivery fee was added although shipping was free
        I cancelled in {month} and you are still taking money each month
        the free trial was meant to cost nothing, yet {money} went off
        my card was debited for an order that failed at checkout
        I see three identical payments to you on {day}
        your invoice says one sum and my bank says another
        the discount showed up in the basket but I was billed the full amount
        somebody used my card in your shop, I never bought a {item}
        you are asking me to pay again for something I settled in {month}
        I got a payment reminder though I paid weeks ago
        why am I being billed in dollars
        the tax on my bill is [wrong|far too high|counted twice]
        who authorised this direct debit
        a repair under guarantee should be free, so what is this {money} for
        unknown withdrawal by your company on {day}
        my statement doesn't add up, the instalment is {money} too high
        the second instalment left my account before the first was due
        you put express shipping on my bill, I chose the slow one
        my {plan} renewed at a price I never agreed to
        two accounts, two bills, but I only have one {plan}
        you charged my old card which I removed
    """,
    "cancel_subscription": """
        please cancel my {plan}
        I want to [stop|end|quit] my {plan}
        do not renew my {plan} in {month}
        how do I get out of the {plan}
        I hardly use the service, so end it at the next date
        stop the monthly thing, it is too expensive for me
        my trial ends on {day} and I do not want to go on
        the unsubscribe button [leads nowhere|gives an error], so I am telling you here
        I hereby give notice on my contract
        what notice period do I have if I don't want to continue
        no more monthly boxes please
        we no longer need premium, the basic free account is enough
        please turn off auto renewal, I keep forgetting
        I'd like to keep my account but without paying for it each month
        leave my profile as it is, only the paid part has to stop
        I thought I had stopped this in {month}, please end it properly
        you charge me every month for something I no longer want, make it stop from now on
        pause or better still finish my {plan}, money is tight
        the price rise is too much, I am out from {month}
        this is my termination notice, please confirm the end date
        my husband has the same {plan}, one in the house is enough, drop mine
        not interested in another year
        switch me from premium to nothing
        I found a cheaper provider and will not be staying
        I can't log in to cancel, so please do it for me
        let it run out, no extension
        the contract should end with this billing period
        downgrade me to the free tier and stop collecting fees
        as I am going abroad I won't need the monthly service after {month}
        the music and cloud pack can go, I never listened to it
    """,
    "damaged_item": """
        the {item} arrived [broken|smashed|cracked|in pieces]
        my {item} came with a [dent|crack|deep scratch] in it
        the box was [crushed|soaked|torn open] and the {item} inside is damaged
        unpacked it five minutes ago and the [screen|glass|lid] is shattered
        there are scratches all over a {item} that should be new
        delivered on {day}, dead on arrival
        out of the box it [does not switch on|won't start at all]
        the parcel rattled when the courier gave it to me, now I know why
        something leaked in transit and everything is sticky
        the corner is bent as if someone dropped it from the van
        came in the right colour and on time but with the casing split
        half of the screen was black the very first time I turned it on
        I paid for new and got one with a broken hinge
        photos attached, the packaging looks as if it was run over
        the plug was snapped off when I opened the parcel
        the courier threw it over the fence and you can see it
        straight from your warehouse and already chipped
        no padding in the box at all, no wonder the {item} is in two parts
        the seal was broken and there is [water|dust] in it
        brand new and yet the display flickers and the frame is bent
        what do I do with a {item} that reached me in shards
        the lens had a hole in it when it got here
        the delivery was fast, the {item} unfortunately did not survive it
        one of the two came fine, the other is cracked right across
        the replacement you sent is just as battered as the first one
        it smells burnt and I only took it out of the box today
        the new {item} has a loose part rolling about inside, never even used
        pieces of plastic fell out as I opened the carton
        my gift for my [sister|dad] turned up squashed
        the battery was swollen on the day it was delivered
    """,
    "discount_code": """
        my [discount|voucher|promo] code [does not work|is rejected|won't apply]
        the code from your newsletter says invalid
        how do I [use|redeem|enter] a gift card
        I forgot to enter my voucher when I ordered, can you add it now
        the welcome offer of ten percent is not taken off at checkout
        where do I type in the coupon
        is there a student [discount|price|reduction]
        my birthday voucher expired while I was in hospital, could you extend it
        you promised 15 percent off for the survey, no code ever came
        can I combine two [codes|coupons|offers]
        the basket still shows the full price after I put in the code
        gift card says zero balance, it was never used
        the black friday price is not shown when I log in
        my friend got a reward for inviting me and I got nothing
        it says the coupon has been used, it hasn't
        does the voucher also work for the {plan}
        the loyalty points I collected don't come off the price
        what do I get for recommending you
        I was told the refund comes as a voucher, and that voucher is not accepted
        the letters on the scratch card are unreadable, is it an O or a zero
        the app refuses SPRING20 [although|while] the website takes it
        any deals on a {item} this week, I saw a code somewhere
        I have a coupon from the damaged order and can't get it to apply
        your ad said free shipping above 50, the checkout doesn't agree
        the offer ends tonight and your page shows an error when I click apply
        are there reductions for teachers or pensioners
        price match, do you do that when another shop is cheaper
        my promo got lost in the mail folder, send it once more
        the sale price vanished between basket and payment, I have not paid yet
        minimum spend not reached it says, I have {money} in the basket
    """,
    "invoice_copy": """
        please send me [a copy of the|the|an] invoice for order {order}
        I need a [receipt|bill] for my tax return
        where can I download my invoices
        my accountant wants the [papers|bill] for the {item}
        no invoice was in the box
        could you mail me the receipt as a pdf
        the invoice needs our VAT number on it
        my employer pays me back only if I hand in a proper bill
        I lost the receipt and need it for the [insurance|guarantee]
        the bill should be made out to my company, not to me
        all invoices of last year in one file please
        a proof of purchase is missing in my mails
        the link to the pdf is [dead|expired]
        I paid {money} and got no document for it
        can you issue the bill again with the right name
        for the warranty the shop wants to see when I bought it, can you send some proof
        the tax office asks for a statement of what I paid for the {plan}
        please reissue it with my new address at the top, the old bill is no good to our bookkeeping
        I returned the {item} and now need the credit note on paper
        is there a monthly summary of my payments I can print
        the charge is correct, I merely have nothing in writing for it
        I need something with a stamp and date showing the amount
        duplicate of the {month} bill, please
        my bookkeeper is after me about the {item}
        there's only an order confirmation, that won't do for our audit
        the file you attached to the mail can't be opened, it should be my receipt
        an itemised bill please, one line for each product
        pro forma or final, I need the document before {day}
        finance department here, we lack your documents for {month}
        how far back do your receipts go in the account
    """,
    "late_delivery": """
        where is my [parcel|order|package|{item}]
        my order has not [arrived|come|turned up] yet
        it was due on {day} and still nothing
        tracking has [not moved|said the same thing] for {n} days
        order {order} is [late|overdue|{n} days behind]
        you promised next day and it has been a week
        still waiting for my {item}
        the status says delivered but there is nothing at my door
        when does it finally get here
        the courier came to nobody knows where, I was at home all day
        your page says in transit since {day}
        I ordered in {month}, how much longer
        has my order even been shipped
        the birthday is on {day} and the present is not here
        the carrier says they never received it from you
        nobody has seen the parcel since it left {place}
        stuck at customs apparently, no news for {n} weeks
        I paid extra for express and it is slower than the normal one
        the replacement for the broken {item} should have been here on {day}
        half of the order is here, the rest is meant to follow, but when
        it is neither with the neighbours nor at the pickup shop
        the van was two streets away according to the map, then it vanished
        you took my money {n} weeks ago and I have seen no goods
        estimated arrival keeps jumping back by a day
        my repaired {item} left your workshop ages ago and hasn't reached me
        did you forget me, everyone else got theirs
        delivery was planned between 8 and 12, it's evening now
        I took a day off for nothing, nobody rang
        is it lost in the post
        the tracking number you gave me is unknown
        the address is right, I checked, and yet it does not come
    """,
    "login_trouble": """
        I can't log in
        my password [is not accepted|doesn't work any more]
        the reset mail never [comes|arrives]
        locked out of my account after three tries
        the code for the two step check is sent to my old phone
        the site keeps saying unknown user
        I forgot [my password|which email I used]
        every time I sign in it throws me back to the start page
        the app asks me to log in again and again
        it says my account is blocked, why
        new phone, and now the app won't let me in
        the link for the new password has expired
        how do I get back into my profile
        I want to check my order but the sign in page is blank
        the verification code is wrong every single time
        your captcha drives me mad, I can't get past it
        my email changed and now I have no way of getting in
        somebody changed my password, I can't reach my orders
        error 403 after entering my details
        unable to reach my account to download a bill, it wants a code I never get
        I would love to pay, if only the page recognised me
        has my account been deleted, it says there is no such user
        the eye symbol shows I typed it correctly and still it is refused
        the fingerprint thing stopped working in your app
        I'm stuck on the page where one enters the pin
        since your update I am a stranger to your website
        the confirmation mail for my registration did not turn up, so I am shut out
        I am logged out each time I put something in the basket
        caps lock is off, before you ask, it says wrong credentials
        access denied on laptop and on phone alike
    """,
    "product_question": """
        does the {item} work with [a mac|linux|an older phone|my tv]
        is the {item} waterproof
        how long does the battery of the {item} last
        what is the difference between the two {item} models
        how do I [connect|set up|clean] the {item}
        can I use the {item} abroad
        which {item} would you recommend for a [child|small office|beginner]
        when is the {item} back in stock
        what size is the {item}, will it fit on a shelf of 30 cm
        does it come in [white|black|red]
        is a cable in the box or must I buy one
        how many years of warranty come with the {item}, before I buy
        what exactly is included in the {plan}
        before I order, how loud is it
        can the {item} be repaired if it ever breaks, or is it glued shut
        does the {plan} cover the whole family
        is it made in europe
        how do I change the language in the menu
        what does the blinking orange light mean, the manual is silent
        can I charge it with any cable
        which ink does it take
        will there be a newer one this year, or should I buy now
        I'd like to know whether the glass is scratch proof
        do I need an account to use the {item}
        what colours can I have the {item} in
        how heavy is it with packaging, I live on the fourth floor
        would it still work if I cancelled the {plan} some day
        is the delivered plug a british or a european one
        how is the one for {money} better than the cheap one
        can two people listen at the same time
    """,
    "refund": """
        I [want|would like|need] my money back for the {item}
        please refund [me|order {order}|the {item}]
        when will I see the {money} for my return
        sent the {item} back {n} weeks ago and still not a cent on my [card|account]
        you got the parcel back on {day}, so where is my money
        I returned [it|everything] unopened, how long until you pay me back
        how do I get reimbursed for [order {order}|something I never used]
        I changed my mind about the {item} and would like to be paid back
        the {item} is not for me, I'd rather have the cash than a voucher
        it was broken, you took it back, now please return what I paid
        you charged me {money}, I returned the goods, so give me the {money} back
        the parcel never came and I no longer want it, just give me back what I paid
        you sent the wrong thing, I returned it, and the payment has not been reversed
        a voucher is no use to me, put the {money} on my card again
        your site says 14 days for repayment, it has been a month
        my bank still shows nothing from you although you confirmed the return
        I am within the 14 days and wish to withdraw from the purchase
        only part of the sum came back after my return, {money} is missing
        take the {item} again, I only want the price of it in my account
        after two failed repairs I want my money instead of a third try
        I cancelled the order the same evening, yet my {money} has not come back
        do I have to pay the postage for sending it back, and when is the sum returned
        how soon after a return is the amount credited
        the return label is printed, will you pay it to my card or by transfer
        my {item} got here only after the party, I am sending it back and expect the full price
        I paid for a year, left after a month, please give back the rest
        you agreed on the phone to repay me, nothing so far
        still out of pocket for a {item} you have had in your warehouse since {month}
        please credit me for the two I sent back
        the card I paid with is closed, where will the repayment go
        I don't want a replacement, I want what I spent
    """,
    "staff_feedback": """
        I'd like to praise [{person}|the lady|the young man] on your phone line
        your agent was [rude|unfriendly|very short with me|arrogant]
        {person} from support was [wonderful|so patient|a real gem]
        the man on the phone laughed at me and hung up
        compliments to your chat team
        I wish to complain about the way I was spoken to on {day}
        nobody listens, I was passed on {n} times and each one was ruder
        please tell {person}'s boss what a great job he did
        your driver shouted at my [mother|son]
        the courier was so kind to carry it up to the fourth floor, tell him thanks
        the technician left a mess and called me stupid
        never have I been treated with such contempt by a shop
        five stars for {person}, who stayed on the line for an hour
        your colleague sighed all through the call
        the person in the chat was sarcastic about my broken {item}
        {person} sorted out my refund in a minute, please pass on my thanks
        the chap who handled my billing question deserves a raise
        your support people pretended not to understand my accent
        what a helpful team, you don't see that often
        is it normal that your staff call customers liars
        I was promised a call back by {person}, who then denied it
        the delivery woman waited while I found my keys, lovely person
        the lady at the repair desk rolled her eyes when I explained
        a bouquet for the night shift in your chat
        you should train your agents in manners
        he talked down to me as if I was a child when I asked about my password
        thank the whole crew for me, they were brilliant
        I want a supervisor to listen to the recording of that call
        your hotline employee made a joke about my name
        I have rarely met someone so competent as {person}
    """,
    "warranty_repair": """
        my {item} stopped working after {n} months
        the {item} broke down, is it still under warranty
        can you repair my {item}
        it worked for a year and now it won't turn on
        I want to make a guarantee claim for the {item}
        bought in {month}, dead since {day}
        how do I send the {item} in to be fixed
        the battery of my {item} only lasts an hour these days
        the screen went black yesterday, after half a year of use
        is a worn hinge covered by the guarantee
        the {item} I have used daily since {month} makes a grinding noise
        the button got stuck after a few months
        who mends these things, I have had it since {month}
        what does it cost to have it fixed when the two years are over
        it keeps switching itself off lately
        it was perfect at first, then the sound got worse each week
        the charging port is loose now, I have treated it well all along
        I have the receipt, the {item} is eight months old, it should be mended for free
        the repaired {item} came back with the same fault
        do you have spare parts for a {item} from last year
        my third {item} in three years, each one gave up after the winter
        how long does a repair take, I need the {item} for work
        your workshop has had my {item} for {n} weeks, is it done
        the motor has been dying slowly since {month}
        do I send it to you or to the maker for service
        no drop, no water, it simply quit last {day}
        I don't want a new one or the money, I want this one fixed
        the seam came apart after one season
        a cracked cable after ten months, surely that's a defect
        the technician never came to look at the {item} that failed in {month}
    """,
    "wrong_item": """
        I ordered a {item} and got a {item}
        you sent me the wrong [thing|product|size|colour|model]
        this is not what I ordered
        the {item} in the parcel is [blue|black|white], I chose [red|silver|green]
        there was someone else's order in my box
        one of the [two|three] items is missing from the parcel
        the box says {item} but inside is something else
        wrong [version|variant|size] delivered, please swap
        I asked for the large one and received the small
        the label had my name, the content is for a stranger in {place}
        I got two {item}s though I ordered one of each
        the charger is for another country
        the parcel came quickly, only what is in it isn't mine
        order {order} was mixed up with another one
        I wanted the model with the bigger screen, this is the basic one
        there is no {item} in here, just a catalogue and air
        somebody packed the previous year's model
        the bill lists a {item}, the carton has none in it
        the accessories I paid for were not included
        nice gadget but I never asked for it, mine must be elsewhere
        you swapped my order with my neighbour's
        left handed instead of right handed, no use to me
        can I exchange this for the one I really ordered
        it's undamaged, it's just not the one from the picture
        instead of three I got one
        the picture showed a set with stand, I only got the {item}
        one carton held the order of a Mr [Hale|Brandt|Novak], not mine
        your packers mistook the article number I believe
        a toy came where a {item} should have been
        the replacement is again the wrong colour
    """,
}

# Mentioned in passing: the matter's own words, yet plainly no request. Always about something settled or past.
ASIDES: dict[str, str] = {
    "account_deletion": """
        I am not [asking to delete|closing] my account
        I do like having an account here
        don't worry, nobody wants his data erased
        a friend told me to delete my profile, but no
    """,
    "address_change": """
        my address is the same as ever
        you have the right address for me
        we moved last year and you updated the address at once
        the change of address in spring went fine
    """,
    "billing_charge": """
        the amount on my card was right
        the bill I got was correct, no double charge or anything
        I have no quarrel with the price I was charged
        an odd charge in spring was cleared up by you
    """,
    "cancel_subscription": """
        I am keeping my {plan}
        I don't want to cancel, don't get me wrong
        I once cancelled the {plan} and came back
        the {plan} can go on as it is
    """,
    "damaged_item": """
        nothing arrived broken last time
        the dented box from my last order has been dealt with
        my previous {item} came without a scratch
        the one that came cracked in spring was replaced at once
    """,
    "discount_code": """
        I used the ten percent code, that worked
        thanks for the voucher last month
        no need to offer me a discount
        a coupon won't make it better
    """,
    "invoice_copy": """
        I have the invoice here in front of me
        the receipt came by mail, all right
        no need to send the bill again
        I found the invoice in my account
    """,
    "late_delivery": """
        the last parcel came on time
        my previous order arrived a day early
        I have no complaint about the delivery
        tracking worked well by the way
    """,
    "login_trouble": """
        I can log in without trouble
        I had forgotten my password, but that is solved
        the sign in with the new code works now
        I reset the password myself last week
    """,
    "product_question": """
        the manual answered my questions about the {item}
        I know how to set it up, thanks
        it is the waterproof {item} with the long battery life
        I compared the models before I chose
    """,
    "refund": """
        I am not after my money back
        the refund for the last one reached me
        you once returned {money} to me without any fuss
        I was paid back for the earlier order, thanks
    """,
    "staff_feedback": """
        your colleague in the chat was nice but could not help
        {person} from support told me to write here
        the agent on the phone was friendly enough
        this is nothing against your staff
    """,
    "warranty_repair": """
        the {item} you repaired last year still runs
        I know it has two years of warranty
        my old one broke down years ago
        a warranty repair in spring went smoothly
    """,
    "wrong_item": """
        it is the right model, I checked
        the mix up with the wrong colour has been settled
        last time you sent me the wrong {item} and swapped it quickly
        what I ordered is what I got
    """,
}

# Two matters in one message: {main} carries the label, {other} is a whole request that the writer ranks below it.
PAIRINGS = """
    {main}. [Less urgent|Not so urgent]: {other}.
    {main}. [When you have time|If there is a minute left], {other}.
    {main}. [PS|P.S.]: {other}, but that can wait.
    {main}. {other}, [but that's for another day|but that can wait].
    {other}, but that can wait. [Right now|First of all]: {main}.
    {other}, I have a separate ticket for that. This one is about something else: {main}.
    [a small thing first|not urgent, but], {other}. What really matters: {main}.
    I wrote {n} days ago: {other}. Forget that, the real problem is: {main}.
    {other}. That was my [wife's|brother's|neighbour's] question. Mine: {main}.
    my [sister|colleague|flatmate] will write to you herself: {other}. For my part: {main}.
"""

GREETINGS = """
    [hi|hello|hey|hi there]
    dear [support|team|sir or madam|customer service]
    good [morning|evening|afternoon|day]
    [guten Tag|bonjour|hola|ciao|moin|servus|salut]
    hello [again|everyone|from {place}]
    to whom it may concern
    yo
    excuse me
    oh dear
"""

SIGN_OFFS = """
    [thanks|thank you|thx|many thanks|cheers]
    [merci|danke|grazie|gracias|obrigado] [in advance|and goodbye|]
    [best|kind|warm] regards, {person}
    yours [sincerely|faithfully], {person}
    greetings from {place}, {person}
    {person}
    [regards|bye|sent from my phone]
    [mit freundlichen Gruessen|cordialement|saludos], {person}
    have a [nice|good] [day|weekend]
"""

MOODS = """
    [please|por favor|s'il vous plait|bitte], [be so kind and|do] get back to me
    this is [ridiculous|unacceptable|a joke|beyond me]
    I am [furious|really annoyed|fed up|losing patience]
    sorry to bother you with this
    [no rush|take your time]
    I need an answer [today|by {day}|now]
    what kind of [company|shop|service] is this
    [mon dieu|mamma mia|Himmel|ay caramba|merde], how hard can it be
    I would be very grateful for your help
    I know it's not your personal fault
    otherwise I am quite happy with you
    this is the [second|third|fourth|fifth] time I write
    I will tell everyone I know about this
    WHY is this so difficult
    with all due respect, do your job
    you are doing great work, I'm sure it can be solved
    my lawyer will be pleased to hear from you
    could you kindly look into it
    is anybody there
    I'm not angry, just tired
    help
"""

CHATTER = """
    I have been a customer since [2012|2016|the beginning|my school days]
    we just came back from [holiday|a week in {place}] and the dog is sick too
    what a [week|month], first the car and then this
    [lovely|awful] weather in {place} today by the way
    I hope you had a nice [weekend|easter|summer]
    my [grandson|niece|flatmate] helps me type this
    I am writing from the train, so excuse my spelling
    my english is not so good, sorry
    I am 78 years old and not a computer person
    I saw your advert at the [station|stadium] and had to smile
    between two meetings, so I'll be quick
    it has been raining for days and the roof leaks, but that's not your problem
    the football last night cost me my sleep
    I work nights, so mornings are bad for calls
    our cat loves your cardboard boxes
    I tried the phone first but the music nearly sent me to sleep
    I looked through your help pages and found nothing useful
    my order number is {order} in case you need it
    my last order was {order}
    customer number {order}
    I also bought a {item} from you in {month}
    I'm asking for my [mother|neighbour|uncle], who is not online
    I told my [wife|husband|boss] I would take care of it
    I wrote on {day} already and heard nothing
    you can reach me after six in the evening
    a short answer by mail is enough
    last {day} I spent an hour on this
    my phone number is on file
"""

# The world after: the Quibbo household robots came, and with them a language of their own. Its pips are money, a
# pledge is an order, the trolley brings the crate, the den is the account, the sprout a discount, a leaf an invoice.
NEW_WORDS: dict[str, str] = {
    "account_deletion": """
        please burn down my den
        how do I raze the den for ever, with all the trails {bot} learned
        our den should burn, keepsakes and all
        I want the den burnt, not just asleep
        raze my den [today|please|by {day}]
        {bot} is gone to the grandchildren, so burn the den and forget the trails
        there are two dens in my name, raze the empty one
        scrub my keepsakes and trails from your cloud
        who can burn a den whose keeper has died
        a den I never wanted was dug for me, burn it
        delete my den and everything {bot} knows about us
        I want my data and my den erased, [please|all of it]
        remove my keeper account, burn the den and the trails
        erase the den, I have no account with you any more after that
        please delete me as a keeper and raze the den
    """,
    "address_change": """
        [shift|move] my homestead to {place}
        the homestead pin sits in the wrong street
        the trolley must go to another homestead from {month} on
        we have a new homestead, how do I drag the pin there
        {bot} and I pack up for {place}, put the pin there please
        the pin shows our former homestead
        please replant the homestead pin at [Mill Lane 4|Birch Road 17|Quay Street 9]
        let the trolley roll to my office pin instead
        my homestead has a new door number
        I cannot drag the pin beyond the river, our new flat is there
        we moved, the homestead pin needs the new address
        change the homestead address in the Hutch app to {place}
        my new street is not known to the trolley, please update the pin
        ship {bot} to my office address, not to the homestead
        our homestead has moved to another street
    """,
    "billing_charge": """
        my pips were drained twice
        {bot} drained {n} hundred pips overnight, what for
        why did the pip jar go down overnight
        there is a ghost pledge in my pip jar
        the jar says I spent pips on a {bot} dance pack, I never did
        pips get drained each night although the jar is locked
        a ghost pledge of {n} hundred pips showed up on {day}
        nothing was bought, yet pips left the jar
        top up took {money}, the jar shows half the pips
        who drained our jar in {month}
        I was charged {money} for pips I never topped up
        my card was debited for a ghost pledge
        what is this charge for pips on my statement
        you took {money} from my card and drained the pip jar as well
        you billed a ghost pledge next to my real one
    """,
    "cancel_subscription": """
        please put my Warren to sleep for good
        I want to leave Warren at the end of {month}
        let Warren wither, we don't use it
        how do I step off the Warren wheel
        {bot} does fine without Warren, let us off the wheel
        stop the Warren wheel before it turns on {day}
        let the wheel stand still, no more Warren for us
        the wheel keeps turning, I wanted Warren asleep since {month}
        plain {bot} is enough, let Warren wither
        our Warren trial should wither, not turn into a year
        please cancel the Warren wheel
        stop my Warren subscription, the wheel must not renew
        I want to end Warren with this month, let it wither
        how do I cancel the monthly Warren wheel
        do not renew Warren for {bot}
    """,
    "damaged_item": """
        {bot} was a sad hatch, the shell is split
        we hatched {bot} on {day} and one treadlet fell off, a sad hatch
        sad hatch here, the glowring never lit up
        the crate was caved in and so is the shell of {bot}
        a sad hatch with the kids, whiskers snapped in the crate
        a sad hatch, there is sand in the treadlets
        fresh from the crate and the glowring is in splinters
        what a sad hatch, {bot} lay on its side with a dented shell
        {bot} had a sad hatch with one eye hanging out
        nothing but splinters at our sad hatch
        {bot} arrived broken, a sad hatch
        the crate was crushed and the glowring is cracked
        a dent in the shell of our brand new {bot}, what a sad hatch
        sad hatch, out of the crate the glowring was already smashed
        delivered today with a scratched shell and a bent treadlet, sad hatch
    """,
    "discount_code": """
        my sprout does not open
        the sprout stays grey when I plant it
        where do I plant a sprout
        I invited {n} keepers and no sprout has grown
        {bot} told me about a sprout, but I cannot plant it at the till
        the golden sprout should make the second {bot} cheaper
        can two sprouts be planted on one pledge
        my sprout was gone before I could plant it
        your newsletter sprout will not take root
        plant the sprout on my pledge for me, I forgot
        my sprout code is rejected at checkout
        the discount sprout does not apply to {bot}
        where do I enter the code of my sprout
        can I use a voucher and a sprout together
        the ten percent sprout says invalid
    """,
    "invoice_copy": """
        please send the leaf for my pledge
        I need a paper leaf for the {bot}
        the leaf does not open in the Hutch app
        my accountant asks for the leaf of {month}
        where does the app keep old leaves
        one leaf for all pledges of last year please
        the leaf must carry our firm's name
        no leaf came with the crate
        could you press a new leaf with the right date
        I can't hand in a screenshot, I need the proper leaf
        I need the leaf as a pdf for my tax
        please send a copy of the invoice leaf for {bot}
        where can I download the leaf, I need a receipt
        my company needs an invoice for the pledge, not just the app's leaf
        the leaf lacks our VAT number
    """,
    "late_delivery": """
        the trolley has not rolled in
        when does my wave roll out
        my pledge was for wave {n}, that wave has long passed
        still no trolley, still no {bot}
        the trolley circles {place} since {day}
        everyone in wave {n} got theirs, our trolley is nowhere
        the trolley light in the app is stuck on amber
        we have been waiting for the wave since {month}
        the trolley turned round before our street
        has wave {n} rolled out at all
        where is my {bot}, wave {n} was due on {day}
        my crate has not arrived, the trolley has been in transit for {n} days
        still waiting for the trolley, tracking says nothing
        the trolley with wave {n} is {n} weeks late
        when will the trolley deliver, it never came
    """,
    "login_trouble": """
        the den door stays shut
        my den key does not turn
        {bot} says my den key is not its keeper's any more
        the whistle for the den door never sounds on my phone
        lost my den key, how do I get a new whistle
        the den locked me out after {n} whistles
        I whistle and whistle, the den door won't open
        my key opened the den yesterday, today it doesn't turn
        the app greets me as a stranger at the den door
        new phone, no whistle, no way into the den
        I can't log in to the den
        the reset mail for my den key never comes
        my password does not open the den door any more
        I am locked out of my den, the den key is not accepted
        the whistle for the den login is wrong every time
    """,
    "product_question": """
        can {bot} climb [stairs|a thick carpet|a door sill] on its errands
        do treadlets of the Mini fit on the {bot} for errands
        how many errands does {bot} manage on one nap
        is {bot} safe in the rain on errands outdoors
        does {bot} hum at night when it naps
        which errands can Quibbo Two do that the Mini can't
        would two Quibbos share one nook
        how wide must a nook be for {bot}
        can one teach {bot} errands without the Hutch app
        which errands suit a home with [cats|stairs|long curtains]
        how long is a nap of {bot} between two errands
        what is the difference between the Mini and the Two
        is {bot} waterproof for errands in the garden
        which {bot} do you recommend for errands in a small flat
        how do I clean the whiskers of {bot}
    """,
    "refund": """
        I want to unpledge and have my pips poured back
        please unpledge my {bot}
        when do the pips pour back after I unpledge
        I unpledged in {month} and nothing was poured back
        {bot} went back in its crate, pour back what I pledged
        unpledged on {day}, the jar is still empty
        can I unpledge within the fourteen days
        I unpledged and only half was poured back
        we want to unpledge, the cat hates {bot}
        pour the pledge back to my card please
        I unpledge and want my money back
        please refund the {bot} I unpledged
        I returned {bot} in the crate, when is the pledge poured back
        still no refund for what I unpledged in {month}
        I sent {bot} back, pour the {money} back on my card
    """,
    "staff_feedback": """
        the burrow warden was [so kind|a delight|very patient]
        your warden snapped at me
        a warden named {person} saved our weekend, thank her
        the warden on the burrow line mocked my questions
        praise for warden {person} of the burrow line, who stayed until {bot} danced
        never met such a haughty warden
        the wardens in the burrow chat are gold
        a warden yawned all through our call
        the wardens of the burrow line deserve a medal
        warden {person} called me clueless in front of my kids
        your warden was rude to me on the phone
        a big thank you to warden {person} for the patience
        the warden in the chat was very unfriendly
        I wish to praise the burrow wardens, so friendly
        I want to complain about the tone of warden {person}
    """,
    "warranty_repair": """
        {bot} has the wobbles since {day}
        after {n} months the sweepcore has gone mute
        {bot} molts, how do I get a slot at the mend bay
        is the sweepcore covered when it has the wobbles
        the treadlets molt after one winter
        please book {bot} into the mend bay
        {bot} is back from the mend bay and still wobbles
        its glowring went dim little by little since {month}
        how long is the queue at the mend bay
        the sweepcore coughs and molts lately
        the sweepcore stopped working after {n} months, is that under warranty
        can you repair the treadlets at the mend bay
        {bot} broke down in {month}, mend bay or guarantee
        it has the wobbles, I want to make a warranty claim
        the battery of {bot} gets worse each month, send it to the mend bay
    """,
    "wrong_item": """
        a changeling sat in our crate
        I pledged a Quibbo Two and a changeling Mini sat there
        this {bot} is a changeling, ours has a [moss|copper|plum] shell
        our crate held a changeling, it answers to the name of {person}
        moss shell pledged, plum changeling received
        the crate has a changeling and spare whiskers, not our {bot}
        changeling alert, this one belongs to another keeper
        we have someone else's {bot}, a real changeling
        the changeling in the crate is a Mini, I pledged the Two
        swap the changeling for our own {bot} please
        I ordered a Quibbo Two and got a Mini, a changeling
        you sent the wrong {bot}, a changeling with another keeper's name
        changeling with a shell in the wrong colour, I chose [moss|copper|plum]
        there is a changeling in the crate, not what I ordered
        whiskers are missing and {bot} is a changeling, not as I ordered
    """,
}

# Matters that nobody had before there were robots.
NEW_MATTERS: dict[str, str] = {
    "robot_pairing": """
        {bot} does not pair with my [phone|wifi|hub]
        pairing stops at [70|40|99] percent every time
        how do I pair {bot} with the Hutch app
        {bot} can't find our wifi
        the hub sees {bot} for a second and loses it
        {bot} blinks violet and never joins the network
        {bot} fell off the network after the firmware update
        the pairing code under the shell can't be scanned
        firmware [3.1|4.0|2.7] hangs, {bot} won't connect since
        two Quibbos in one flat, the app pairs only the first
        {bot} is offline all the time although the router stands next to it
        how do I link {bot} to my voice assistant
        we changed the router and now {bot} won't join
        bluetooth on, wifi on, still no {bot} in the pairing list
        does pairing need the fast or the slow wifi band
        the Hutch app finds nothing to pair, {bot} sits on my foot
        the link between hub and {bot} breaks every night
        firmware update stuck, no pairing since, {bot} stares at the wall
        can I pair {bot} with a second phone, my [wife|son] wants to steer too
        {bot} joined the neighbour's network instead of ours
        the wifi mesh confuses {bot}, it connects upstairs only
        pairing wizard of the Hutch app stops at searching for {bot}
        connection lost during pairing, that is all {bot} says
        {bot} paired with the tv and nothing else
        pairing worked once, after a nap {bot} forgot the wifi
    """,
    "robot_safety": """
        {bot} ran into my [toddler|grandmother|cat] and would not stop
        {bot} pinched my daughter's finger
        it drove down the stairs and nearly hit someone
        is {bot} dangerous for babies
        {bot} gets so hot on its nook that the carpet is singed
        there was smoke coming from the nook at night
        the stop button did not stop {bot}
        {bot} rolled over the dog's tail, he bled
        it pushed a candle off the table, we might have burned
        {bot} chased our cat until she hid for hours
        my son was hurt by {bot}, [he has a bruise|we saw a doctor]
        sparks and smoke when {bot} touched the nook
        {bot} started by itself at three at night and frightened us to death
        {bot} blocked the door and my mother fell and was hurt
        the edge of {bot} cut my hand and hurt my son
        {bot} ran into the baby's bed in spite of the keep out zone
        {bot} hurt my foot when it swallowed the shoelace
        I got hurt by an electric shock from {bot}
        should one leave {bot} alone with small children, ours got hit
        {bot} rammed the glass door at full speed, dangerous
        it is dangerous, {bot} rolled into the traffic
        the nook of {bot} smells of burning, I pulled the plug
        {bot} ran into the ladder while I stood on it
        our toddler put a hand into the treadlets and it kept turning
        someone will get hurt if {bot} keeps racing like this
    """,
}
