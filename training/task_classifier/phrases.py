"""Requests of our own wording for the classes that open data sets hardly show, as small grammars.

``{a|b}`` picks one; ``[DOC]``, ``[SENT]``, ``[MSG]``, ``[CODE]``, ``[TOPIC]``, ``[LANG]``, ``[LABELS]``, ``[N]``,
``[NAME]`` are filled by ``generate.fill``. Every line is one wording; held-out scores never see a wording twice.
"""

from __future__ import annotations

from typing import Final

__all__ = ["PHRASES", "SYSTEM_PHRASES"]

EXTRACTION: Final = """
Extract {all|the} {names|dates|email addresses|phone numbers|company names|amounts|locations} from {the following|this} {text|email|document|message}: [DOC]
Pull out every {date|price|person|product name|order number} mentioned {below|in this text}. [DOC]
{Get|Return} the {invoice number|order id|tracking number|customer name} from this {message|email}: [MSG]
From the {text|passage|paragraph} {below|provided}, extract {who was involved|the key figures|when it happened|the places}. [DOC]
Find all {people|organisations|organizations|cities|countries} in the text and {list them|put them in a JSON array}. [DOC]
{Parse|Turn} this {email|receipt|job posting|resume|CV} into JSON with the {fields|keys} name, date, amount and currency. [DOC]
Which {companies|people|dates|numbers} are mentioned in the {article|text} below? List only those. [DOC]
Fill {in|out} this JSON from the text: {"name": "", "date": "", "total": 0}. Text: [DOC]
Give me the {sender|recipient|subject|due date|total amount} of this {email|invoice|letter}. [DOC]
List the {ingredients|skills|requirements|action items|deadlines} {found|mentioned} in {the text|this}: [DOC]
Extract structured data (name, address, phone) from: [MSG]
Named entity recognition: {tag|list} all entities of type PERSON, ORG and LOC. [DOC]
Identify and return the {quoted speech|citations|URLs|hashtags} in this {post|text}. [DOC]
What {is the|was the} {order number|amount|date|name} in the following message? Reply with the value only. [MSG]
Convert the following {notes|free text} into {a JSON object|key-value pairs|a CSV row} with fields city, date and price: [MSG]
{Read|Take} the {contract|agreement} below and pull the {parties|effective date|termination clause}. [DOC]
extract keywords from {this|the text}: [DOC]
Retrieve {every|each} {measurement|dosage|percentage|currency amount} from the {report|note}, with its unit. [DOC]
Scrape the {table|list} in this text into rows. [DOC]
Get me the {first and last name|street and city|make and model} out of this: [MSG]
From this {transcript|conversation}, note the {commitments|decisions|names} {as JSON|as a list}. [DOC]
Locate the {date of birth|price|serial number} in the text. If missing, answer null. [DOC]
"""

CLASSIFICATION: Final = """
Classify {the following|this} {text|review|message|tweet|comment} as [LABELS]: [MSG]
Is {this|the following} {review|tweet|comment|feedback} positive or negative? [MSG]
What is the sentiment of {this|the following} {sentence|review|text}? [MSG]
{Label|Tag} the {message|sentence} below with one of [LABELS]. [MSG]
{Decide|Determine|Tell me} whether {this|the following} {email|message} is spam{| or not}: [MSG]
Which category does {this|the following} {text|article|question} belong to: [LABELS]? [MSG]
Assign {one|a} label from [LABELS] to {this|the} {support ticket|comment}. [MSG]
Detect the {intent|emotion|tone|language|topic} of: [MSG]
{Rate|Score} the toxicity of this comment from [N] to 10: [MSG]
Categorize {these|the following} {items|products|words} as [LABELS]: [MSG]
Does {this|the} {text|post} contain {hate speech|personal data|profanity|sarcasm}? Answer yes or no. [MSG]
Predict the star rating (1-5) of this review. [MSG]
Given the labels [LABELS], choose the best one for: [MSG]
Is the following {statement|claim|headline} {true or false|fact or opinion|clickbait}? [SENT]
Do {these|the} two sentences mean the same thing? Sentence 1: [SENT] Sentence 2: [SENT]
Text: [MSG] Sentiment:
Identify the intent of this customer message. Possible intents: [LABELS]. Message: [MSG]
Sort the following into [LABELS]: [MSG]
Output only the class name. Classes: [LABELS]. Input: [MSG]
{Judge|Say} if the premise entails the hypothesis, contradicts it or neither. Premise: [SENT] Hypothesis: [SENT]
Moderate this {comment|post}: allowed or not allowed? [MSG]
Which of [LABELS] fits best? [MSG]
What {genre|kind of text|topic} is this? Pick from [LABELS]. [DOC]
Flag whether the message is urgent, normal or low priority: [MSG]
Is "[NAME]" a {city|person|company|fruit|river}?
"""

ROUTING: Final = """
{Route|Send|Assign|Forward} this {message|ticket|request|email} to the {right|correct|best} {team|department|queue}: {billing, support or sales|HR, IT or finance|returns, shipping, accounts}. [MSG]
Which {department|team|agent|specialist|handler} should {handle|take|answer} this {message|ticket|call}? Options: {billing, technical, sales|refunds, cards, loans|mobile, broadband, TV}. [MSG]
Which {tool|agent|model|skill|function|workflow} should {be used|handle this|be called} for the following {request|query|user message}? {search, calculator, calendar|coder, writer, analyst|weather, news, music}. [MSG]
{Pick|Choose|Select} the {agent|expert|assistant|next speaker} that should {respond|go next}: {planner, coder, reviewer|WebSurfer, FileSurfer, Coder}. [MSG]
Decide where this {ticket|case|query} goes: {tier 1, tier 2 or engineering|claims, policies or fraud}. [MSG]
{Triage|Dispatch} the following {incident|request|issue} to the {owning|responsible} team. [MSG]
You are a router. {Reply|Answer} with the name of the destination only. Destinations: {billing|cards}, {support|loans}, other. Message: [MSG]
To which {inbox|mailbox|channel|queue|desk} should we {forward|route|direct} this? [MSG]
Given the user query, decide which {datasource|index|knowledge base|retriever|database} to query: {vector store or web search|docs, code or tickets}. [MSG]
Should this {query|question} go to the {small or the large model|local model or the cloud|fast or the smart model}? [MSG]
Route: [MSG]
Transfer the caller to the {proper|appropriate} {extension|line|person}. They said: [MSG]
Who should this be {escalated|assigned|handed off} to? Teams: {network, database, frontend|legal, press, sales}. [MSG]
Return the {handler|route|endpoint|intent handler} for: [MSG]
Select one route from {["billing","tech","other"]|["faq","human","order_status"]}. User: [MSG]
Hand {this|the conversation} {off|over} to the right {agent|bot|specialist}: [MSG]
Given the available agents and their descriptions, which one is best {suited|placed} to answer? [MSG]
Dispatcher: {choose|name} the {worker|node|branch} for the next message. [MSG]
"""

SUMMARIZATION: Final = """
Summarize {the following|this} {text|article|email|document|report|thread|conversation}{| in [N] sentences| in [N] bullet points| in one paragraph}: [DOC]
Summarise {the|this} {meeting notes|transcript|chat|passage} {briefly|for an executive|for my boss}. [DOC]
{Give|Write} me a {short|brief|concise|one-sentence} summary of {this|the following} {text|article|paragraph}. [DOC]
TL;DR {this|of the following}: [DOC]
[DOC] TL;DR:
What {are|were} the {main|key} {points|takeaways|ideas|findings} of {this|the} {text|article|paper|meeting}? [DOC]
{Condense|Shorten|Boil down} {this|the following} {into|to} {three sentences|a tweet|50 words}. [DOC]
Sum up {this|the} {dialogue|discussion|story} {in a few words|in two lines}. [DOC]
Write {an abstract|a headline|a title|a synopsis|minutes} for {this|the following} {text|paper|story|meeting}. [DOC]
Recap {the|this} {conversation|call|episode} for someone who missed it. [DOC]
{Provide|Produce|Create} an executive summary of the {report|proposal} {below|above}. [DOC]
[DOC] Summarize the above.
[DOC] Can you sum this up for me in [N] sentences?
What is this {article|text|email} about{|, in short}? [DOC]
In a nutshell, what does the {text|author} say? [DOC]
Distill {this|the following} {text|thread} to its essentials. [DOC]
Give me the gist of {it|this}: [DOC]
Outline the {main|most important} points of the passage. [DOC]
Make bullet points out of the key facts in this text. [DOC]
{Compress|Digest} the following log into what an operator needs to know. [DOC]
"""

REWRITING: Final = """
{Rewrite|Rephrase|Reword|Paraphrase} {the following|this} {sentence|paragraph|email|text}{| to be more formal| so it sounds friendlier| in simpler words| more concisely}: [SENT]
{Fix|Correct} the {grammar|spelling|punctuation|grammar and spelling|typos} in {this|the following} {text|sentence}: [SENT]
Make {this|the following} {email|text|message} {more formal|more polite|shorter|sound more professional|less aggressive}: [MSG]
{Proofread|Edit|Polish|Improve} {this|the following|my} {text|paragraph|draft|cover letter}: [DOC]
Change {this|the sentence} {to the passive voice|to past tense|to third person|into active voice}: [SENT]
{Simplify|Modernise|Tighten} {this|the following} {text|paragraph} for {a child|a lay reader|a B1 learner}: [DOC]
Say {this|the following} {differently|in other words|more clearly}: [SENT]
{Turn|Convert} {this|the following} {note|bullet points|rough draft} into {proper prose|a polished email|full sentences}: [MSG]
{Expand|Lengthen} {this|the} {sentence|paragraph} {to about 100 words|without adding facts}: [SENT]
Write {a paraphrase|another version} of: [SENT]
Copyedit: [DOC]
Rewrite {in|using} {the style of Hemingway|plain English|British spelling|a pirate voice|legalese}: [SENT]
{Remove|Cut} the {filler words|jargon|repetition} from this {text|draft}. [DOC]
How can I {say|phrase|word} this {better|more politely|more naturally}? [MSG]
Adjust the tone of {this|my} {message|reply} so it is {warmer|neutral|confident}. [MSG]
Restructure {this|the} paragraph so that it reads better. Keep the meaning. [DOC]
Put this {sentence|text} {into|in} {indirect speech|title case|gender-neutral language}: [SENT]
Replace {informal|complicated} words with {formal|simple} ones: [SENT]
Does this sound right? {Improve it|Correct it} if not: [SENT]
{Reformat|Clean up} {this|the following} text: [MSG]
"""

TRANSLATION: Final = """
Translate {the following|this} {text|sentence|email|paragraph|message} {to|into} [LANG]: [SENT]
Translate to [LANG]: [SENT]
{How do you say|What is} "[SENT]" in [LANG]?
How would I say [SENT] in [LANG]
What is the [LANG] {word|translation|phrase} for [NAME]?
Give me {the|a} [LANG] {translation|version} of {this|the following}: [SENT]
Translate {from|out of} [LANG] {to|into} English: [SENT]
[SENT] Translate this into [LANG].
{Render|Put} the following {in|into} [LANG], keeping the formatting. [DOC]
Provide a {literal|natural|formal} translation into [LANG]: [SENT]
Localise {this|the following} {string|UI text} for [LANG] users: [SENT]
English: [SENT] [LANG]:
I need this in [LANG]: [SENT]
{Convert|Change} the language of this text to [LANG]. [DOC]
What does "[SENT]" mean in English? It is [LANG].
Translate the JSON values to [LANG], leave the keys alone. {"title": "[SENT]"}
Traduce {al inglés|al español|al francés}: [SENT]
Traduis en {anglais|français|allemand} : [SENT]
Übersetze {ins Deutsche|ins Englische|ins Französische}: [SENT]
Traduci in {inglese|italiano|tedesco}: [SENT]
Traduza para {o inglês|português}: [SENT]
翻译成{英文|中文|法语}：[SENT]
把下面的句子翻译成{英语|中文}：[SENT]
次の文を{英語|日本語}に翻訳してください。[SENT]
Переведи на {английский|русский}: [SENT]
Vertaal naar het {Engels|Nederlands}: [SENT]
"""

CLOSED_QA: Final = """
{Answer|Using only} the {question|context} {based on|below, answer} the {passage|text|context}: {who|what|when|where|why|how} [QUEST] [DOC]
Context: [DOC] Question: {What|Who|When|Where|Why|How} [QUEST] Answer:
Given {this|the following} {paragraph|reference text|passage}, {what|who|when|where|why|how} [QUEST] [DOC]
{According to|Based on} {the text|this passage|the article|the document}, {what|who|when|where|which} [QUEST] [DOC]
[DOC] {What|Who|When|Where|Why|How} [QUEST]
Read the {passage|text} and answer: {what|who|when|where|why} [QUEST] [DOC]
Use the {documents|snippets|sources|search results} to answer. If the answer is not there, say so. {What|Who|How|When} [QUEST] [DOC]
[DOC] Based on the above, {what|who|how many|which} [QUEST]
Does the {document|policy|contract} {say|mention|allow} {anything about refunds|remote work|early termination}? [DOC]
In the {text|story|report} below, {who|what|why} [QUEST] [DOC]
Answer from the context only. Q: {what|who|when} [QUEST] [DOC]
Per the manual below, {how do I|what should I do to} {reset it|change the battery|turn it off}? [DOC]
"""

OPEN_QA: Final = """
{What|Who} {is|was} {the capital of|the president of|the largest city in|the founder of} [NAME]?
{Why|How} {does|do} {the sky look blue|planes fly|vaccines work|magnets attract|tides happen|batteries store energy}?
{When|Where} {was|did} {the first world war end|the Berlin wall fall|the internet start|penicillin discovered}?
Explain {what|how} {a black hole is|inflation works|photosynthesis works|TCP differs from UDP|the stock market works}{| to me| like I'm five| in simple terms}.
What is the difference between {a crocodile and an alligator|HTTP and HTTPS|a virus and a bacterium|RAM and ROM|weather and climate}?
How {many|much|long|far|tall|old|big} is {the Eiffel tower|the moon|the Nile|a blue whale|Mount Everest}?
Tell me about [TOPIC].
What do you know about [TOPIC]?
Is it {safe|healthy|legal|normal|bad} to {drink coffee every day|sleep ten hours|eat raw eggs|swim after eating}?
what's the {population|currency|area|language} of [NAME]
Who {wrote|painted|invented|discovered|directed} {Don Quixote|the Mona Lisa|the telephone|radium|Jaws}?
Which {planet|country|river|animal} is the {largest|longest|fastest|smallest}?
What causes {headaches|earthquakes|inflation|rainbows|hiccups}?
How do I {boil an egg|tie a tie|remove a stain|reset my router|change a tyre}?
What are the {symptoms|side effects|benefits|rules|origins} of {flu|aspirin|yoga|chess|halloween}?
Define {entropy|irony|opportunity cost|photosynthesis|recursion}.
Can you explain {quantum computing|mortgages|blockchain|evolution} to me?
"""

GENERATION: Final = """
Write {a|an|me a} {short story|poem|haiku|limerick|song|blog post|essay|speech|toast} about [TOPIC]{|.| in [N] lines.| in under 200 words.}
{Write|Draft|Compose} {an email|a letter|a message|a reply} to {my landlord|a customer|my boss|the team|a friend} about [TOPIC].
{Create|Generate|Write} {a product description|an ad|a tagline|a press release|a tweet|a LinkedIn post|a caption} for [TOPIC].
{Draft|Write} a {cover letter|job description|resume bullet|bio|wedding speech|condolence note|review} {for a nurse|for a software engineer|for a cafe}.
Continue {this|the} story: [DOC]
Write {a dialogue|a scene|a script|a monologue} {between two strangers on a train|about [TOPIC]|set in the year 2090}.
Compose {a rhyme|lyrics|a sonnet|a ballad} {for a birthday|about [TOPIC]}.
Generate [N] {sample|fake|realistic} {customer reviews|names and addresses|product titles|test sentences}.
{Reply|Respond} to this {review|email|message} on behalf of {the shop|our team}: [MSG]
Tell me a {joke|bedtime story|fairy tale|ghost story} about [TOPIC].
Write a {paragraph|page|short text|persuasive essay} {arguing for|against|describing|introducing} [TOPIC].
Imagine you are {a cat|a king|an astronaut}. Describe your day.
Make up a {recipe|legend|horoscope|myth|character} {involving|about} [TOPIC].
Produce a {newsletter|brochure text|landing page copy|FAQ} about [TOPIC].
Finish {this|the} {sentence|poem}: [SENT]
write a {commit message|release note|changelog entry|status update} for [TOPIC]
Answer this customer politely: [MSG]
"""

BRAINSTORMING: Final = """
{Give|Suggest|List|Come up with|Think of} [N] {ideas|names|ways|reasons|topics|titles|slogans} {for|about|related to} [TOPIC].
Brainstorm {ideas|names|angles|questions|use cases} for [TOPIC].
What are {some|a few} {ways|ideas|options|things|tips|gifts} {to improve|for|to do with|about} [TOPIC]?
{Help me|I need to} {think of|come up with|find} {a name|a slogan|ideas|a theme} for [TOPIC].
{Suggest|Recommend} {some|a few} {books|films|games|hobbies|activities|dishes|places} {for|to} {a rainy day|a family with kids|beginners}.
How {could|might|can} we {get more|reach new|keep our} {users|customers|readers}? Throw out ideas.
What should I {cook|watch|read|do|buy} {tonight|this weekend|for my mother's birthday}?
Name [N] {possible|creative|fun} {uses for|alternatives to|variations of} [TOPIC].
What {else|other things} could {we|I} {try|add|include} for [TOPIC]?
List {pros and cons|arguments for and against|possible risks} of [TOPIC].
I'm stuck. {Any ideas|Inspire me|Suggestions} for [TOPIC]?
ideas for [TOPIC]
"""

CODE: Final = """
Write a {Python|JavaScript|Go|Rust|Java|C++|TypeScript|Ruby|PHP|bash} {function|script|program|class|method} {that|to} {reverses a string|reads a CSV file|parses JSON|sorts a list|calls a REST API|counts words|merges two dicts}.
{Fix|Debug} {this|the} {code|function|bug|error}: [CODE]
{What does|Explain} this {code|function|regex|query}{ do|}? [CODE]
Why {does|do} I get {this error|a TypeError|a segfault|a NullPointerException|an import error}? [CODE]
{Refactor|Optimise|Review|Document|Add type hints to|Write unit tests for} {this|the following} {code|function|class}: [CODE]
Write {a SQL query|an SQL statement} {to|that} {find duplicate rows|joins orders and customers|counts users per day|selects the top ten products}.
{Convert|Port|Translate} this {Python|Java|C} {code|function} to {Rust|Go|TypeScript}: [CODE]
How do I {center a div|read a file line by line|sort a dict by value|make an HTTP request|undo a commit|write a unit test} in {Python|CSS|git|JavaScript|Go|Java}?
{Create|Build|Implement} {a React component|a REST endpoint|a Dockerfile|a GitHub action|a binary search tree|an LRU cache|a web scraper}.
Write a {regex|regular expression} {that matches|for} {an email address|dates|IPv4 addresses}.
[CODE] {Complete|Finish} the function.
[CODE] What is wrong {here|with this code}?
Write a {bash|shell|PowerShell} {one-liner|command} to {find large files|rename all files|kill a process}.
git {rebase|merge|cherry-pick} {fails|conflict}, what do I do?
Implement {quicksort|Dijkstra|a trie|a rate limiter|matrix multiplication} in {Python|C|Java}.
What will this {code|snippet|program} print? [CODE]
Generate {a YAML config|a Makefile|a Terraform module|a Kubernetes manifest|an OpenAPI spec} for {a web app|nginx|postgres}.
Given the failing test below, patch the {function|module}. [CODE]
write code to [TOPIC]
"""

MATH: Final = """
{What is|Calculate|Compute|Evaluate} {12 * 37|3/4 + 5/6|15% of 240|the square root of 529|2^10 - 24|(7+5)*3}?
Solve {for x|the equation|}: {3x + 5 = 20|x^2 - 5x + 6 = 0|2x - 7 = 4x + 9|log(x) = 3}
{Find|Compute} the {derivative|integral|limit} of {x^2 sin x|e^(2x)|ln(x)/x|3x^3 - 2x}.
If {a train travels 60 miles in 1.5 hours|3 pens cost $4.50|a shirt costs $40 after a 20% discount}, {how fast is it going|how much do 7 cost|what was the original price}?
{Prove|Show} that {the sum of two even numbers is even|sqrt(2) is irrational|n^2 + n is even}.
What is the {area|perimeter|volume} of a {circle|rectangle|cube|cone} with {radius 5|sides 3 and 8|edge 4}?
How many {ways|combinations|permutations} are there to {arrange 5 books|choose 3 of 10|seat 6 people}?
What is the probability of {rolling two sixes|drawing an ace|getting 3 heads in 5 flips}?
{Simplify|Factor|Expand} {(x+2)(x-3)|x^2 - 9|(a+b)^3}.
Convert {5 miles to km|100 F to C|3 hours 20 minutes to seconds|0.375 to a fraction}.
{A|The} {shop|farmer|teacher} has {24 apples|36 pencils} and {sells|gives away} {a third|7 each day}. How many are left {|after 2 days}?
Calculate the {mean|median|standard deviation|compound interest} of {3, 7, 7, 19|$1000 at 5% for 3 years|1 2 3 4 5}.
what's {17+26|9 times 8|144 divided by 12}
Determine the {determinant|eigenvalues|rank} of the matrix {[[1,2],[3,4]]|[[2,0],[0,3]]}.
"""

REASONING: Final = """
{If|Suppose} {all bloops are razzies and all razzies are lazzies|every cat is an animal and Tom is a cat}, {are all bloops lazzies|what follows}?
{Anna|Tom} is {taller|older} than {Ben|Sue}, {who|and Ben} is {taller|older} than {Carl|Max}. Who is the {shortest|youngest}?
Solve this {riddle|logic puzzle|brain teaser}: {what has keys but no locks|I speak without a mouth|a man pushes his car to a hotel}?
Three {friends|houses|boxes} {each have a different colour|sit in a row}. Use the clues to find who {owns the fish|sits in the middle}. {The red one is left of the blue one.|Ann is not first.}
A {farmer|man} must cross a river with a wolf, a goat and a cabbage. How?
{Think|Reason} step by step: which {door|box|answer} {leads out|holds the prize|is right}? {One guard always lies.|Exactly one label is true.}
What comes next in the {sequence|series|pattern}: {2, 4, 8, 16|A, C, F, J|1, 1, 2, 3, 5}?
{Find|Spot} the {flaw|fallacy|contradiction} in this argument: [SENT]
Given {these|the following} {facts|premises}, which conclusion is valid? [SENT] [SENT]
If yesterday was {two days before Friday|the day after Monday}, what day is {tomorrow|today}?
Who is {lying|telling the truth} if {A says B lies and B says C lies|exactly one statement is true}?
{Compare|Weigh} the evidence and decide which hypothesis is more {likely|plausible}. [DOC]
What would happen if {the moon disappeared|everyone told the truth|gravity halved}? Reason through the consequences.
Which of these {does not belong|is the odd one out}: {cat, dog, car, horse|red, blue, seven, green}? Explain your reasoning.
Why did {the ice melt faster in the first cup|she bring an umbrella}? Infer the cause from: [SENT]
"""

PLANNING: Final = """
{Plan|Create a plan for|Make a plan for|Help me plan} {a trip to [NAME]|a birthday party|a product launch|our migration to the cloud|my week|a wedding|a kitchen renovation}.
{Create|Make|Draw up|Design} {a|me a} {study|workout|meal|training|project|content|lesson|marketing} {plan|schedule} for {the next [N] weeks|beginners|a marathon|my exam|[TOPIC]}.
{Give|Build} me {a|an} {itinerary|schedule|timeline|roadmap|agenda} for {[N] days in [NAME]|the conference|a half-day workshop|moving house}.
Break {this|the} {goal|project|task|feature|epic} down into {steps|subtasks|milestones|tickets}: [TOPIC].
What {steps|order} should {I|we} {take|follow} to {launch|set up|organise|migrate|prepare} [TOPIC]? Make a plan with dates.
{Outline|Lay out|Write} a step-by-step plan to {learn Spanish in a year|save 10,000 dollars|start a podcast|replace our CRM}.
How should I organise {my day|the team's sprint|the move|my revision} {if I have two hours|before Friday|given these tasks}? [MSG]
Schedule {these|the following} {tasks|meetings} {around|before} {lunch|Friday}: [MSG]
Create a {sprint|rollout|disaster recovery|hiring|onboarding} plan {for a team of five|with owners and deadlines|for Q3}.
Given the goal and the tools, write the {list of steps|plan} you would {execute|follow} before acting. Goal: [TOPIC]
Plan the {next|remaining} {steps|actions} {to complete|for} the {task|request}: [MSG]
Devise a {strategy|roadmap} {to reach|for} [N] {users|customers} by {June|the end of the year}.
I have [N] days and {500 dollars|a small team}. Plan {a holiday|the release|the garden}.
Prioritise {these|the} tasks and put them in a {weekly schedule|timeline}: [MSG]
Decompose the task into an ordered list of subtasks. Task: [TOPIC]
"""

TOOL_USE: Final = """
{Book|Reserve} {a table for four|a flight to [NAME]|a room} {for tomorrow|on Friday at 7}{| using the booking tool}.
{Search|Look up} {the web|my inbox|the database} for [TOPIC] {and tell me what you find|using the search tool}.
{Set|Create} {a reminder|an alarm|a calendar event} for {9 am tomorrow|next Monday}.
{Run|Execute} {the tests|the query|this command} and {fix what fails|show me the output}.
{Open|Read|Edit} the file {config.yaml|src/main.py|README.md} and {change the port to 8080|tell me what it does}.
{Get|Fetch|Check} the {current weather in|stock price of|exchange rate for|latest news about} [NAME]{| with the API}.
{Send|Post} {an email|a Slack message} to {Anna|the team} saying {I'm late|the build is green}.
{Turn|Switch} {on|off} the {living room lights|heating|tv}.
Call the {function|tool|API} that {cancels my order|returns the user's balance|lists open tickets}.
Cancel {my reservation|order 4471|the meeting} and {refund it|let everyone know}.
Play {some jazz|the next song|my workout playlist}.
Update {ticket 81|the customer record|row 5 of the sheet} {to closed|with the new address}.
"""

CONVERSATION: Final = """
{Hi|Hello|Hey}{|!| there!}
{How are you|How's it going|What's up|How was your day}{|?| today?}
{Thanks|Thank you|Great, thanks}{|!| so much!| for the help!}
{Good morning|Good night|Good evening}{|!}
{That's|That was} {great|funny|helpful|not what I meant|wrong}{|.|!}
{I'm|I feel} {bored|tired|sad|happy|a bit lonely|stressed} {today|lately}.
{Are you|Who are} {a robot|human|you|real}?
What's your {name|favourite colour|opinion on pineapple pizza}?
{ok|okay|cool|sure|yes|no|yep|nope|got it|I see}
{Let's|Can we|I want to} {chat|talk|just talk} {about my day|for a bit|about something fun}.
{lol|haha} {that's funny|good one|no way}
{Do you|Would you} {like music|dream|get tired|remember me}?
My {order|package|card|internet} {hasn't arrived|is missing|isn't working}, {what now|can you help|I'm really annoyed}.
{I had a|It was a} {long|rough|wonderful} day {at work|with the kids}.
{Nice|Pleased} to meet you{|, I'm [NAME]}.
{Never mind|Forget it|Sorry, my mistake|Go on|Tell me more}{|.}
"""

OTHER: Final = """
{asdf|qwerty|lorem ipsum dolor sit amet|test|testing 123|foo bar|xxx|...|?|.|-}
{asdkjh qwoieu zxmcn|jjjjjjjj|hgfd kjhg|12345 67890 000|!!!! ####}
{ping|hello world test message|untitled|n/a|null|undefined|none}
{0x4f 0x21 0x9a|a8f3e1 9bc0 77d2|AAAA BBBB CCCC|%PDF-1.4 stream|PK zip data}
{[NAME]|[NAME] [NAME] [NAME]}
{1|2|3|a|b|x|y} {|1|2|z}
"""

PHRASES: Final = {
    "extraction": EXTRACTION,
    "classification": CLASSIFICATION,
    "routing": ROUTING,
    "summarization": SUMMARIZATION,
    "rewriting": REWRITING,
    "translation": TRANSLATION,
    "closed_qa": CLOSED_QA,
    "open_qa": OPEN_QA,
    "generation": GENERATION,
    "brainstorming": BRAINSTORMING,
    "code": CODE,
    "math": MATH,
    "reasoning": REASONING,
    "planning": PLANNING,
    "tool_use": TOOL_USE,
    "conversation": CONVERSATION,
    "other": OTHER,
}

SYSTEM_PHRASES: Final = {
    "extraction": """
Extract the requested fields from the user's {message|document} and {return|output} {valid JSON|only JSON}{| matching the schema}.
Your task is {information|entity|data} extraction. {For each input|From the text}, return {name, date and amount|the entities} as JSON.
Given {an email|a receipt|a note}, output a JSON object with the keys {vendor, total, currency|name, phone, city}. Use null when missing.
You extract {medications|skills|line items} from {clinical notes|resumes|invoices}. Respond with a list.
""",
    "classification": """
Classify the user's {message|text} into one of [LABELS]. {Reply|Respond} with the label only.
You {are a|act as a} {sentiment|content moderation|intent} classifier. Output {exactly one|a single} label: [LABELS].
For every {message|review}, answer with one word: [LABELS].
Decide if the {input|comment} is [LABELS]. No explanation.
""",
    "routing": """
{Route|Dispatch} each {user message|ticket} to one of these {teams|agents|queues}: {billing, technical, sales|cards, loans, other}. Answer with its name.
You are a {router|dispatcher|triage agent}. Choose the {agent|tool|department} that should handle the message and return its id.
Decide which {handler|workflow|specialist} the conversation goes to. Output JSON {"route": "..."}.
""",
    "summarization": """
Summarize {whatever the user sends|the user's text|each document} in {three bullet points|two sentences|plain language}.
You write {short|executive} summaries of {meetings|articles|support threads}. Keep {names and dates|the key facts}.
""",
    "rewriting": """
{Rewrite|Improve|Correct} the user's text. {Fix grammar and spelling|Make it more formal|Keep the meaning}. Return only the {corrected|rewritten} text.
You are a copy editor. Polish what the user sends without changing its meaning.
""",
    "translation": """
Translate {everything|the text} the user {sends|writes} {to|into} [LANG]. Output only the translation.
You are a translator {from English to|for} [LANG]. Preserve formatting.
""",
    "closed_qa": """
Answer the {user's question|question} using only the {provided|retrieved} {context|documents}. If the answer is not in them, say you don't know.
Use the {sources|passages} below to answer. Cite the source number.
""",
    "code": """
You are {an expert|a senior} {Python|TypeScript|software} {developer|engineer}. Write {clean|working|idiomatic} code. Reply with code only.
Complete the code at the cursor. Output only code.
""",
    "math": """
Solve the math problem. {Show your work|Think step by step} and give the final number after ####.
""",
    "planning": """
Break the user's goal into an ordered list of steps with owners and dates. Output the plan as {JSON|a numbered list}.
You are the planner. {Produce|Write} a plan for the {task|request}; other agents will carry it out.
""",
    "tool_use": """
Use the tools to {complete|carry out} the user's request. Call a function whenever one fits.
You can call functions. {Respond with a JSON function call|Decide which function to call and with which arguments}.
""",
    "conversation": """
Chat with the user {in a friendly tone|like a friend}. Keep replies short.
You are a {support|customer service} agent for {a bank|an airline|a web shop}. Help the customer {according to policy|and be polite}.
""",
    "generation": """
Write {marketing copy|product descriptions|replies|posts} in our brand voice from the {notes|bullet points} the user sends.
""",
}
