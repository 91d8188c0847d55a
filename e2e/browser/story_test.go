package browser_test

import (
	"fmt"
	"strings"
)

// story is the names and messages that the screens show. Each story is one kind of text.
type story struct {
	name    string
	suffix  string    // of the usernames, which all stories together use
	people  [3]string // the display names of the cast
	bio     string    // of all three
	channel string
	topic   string   // of all channels
	others  []string // the names of further channels
	group   string
	lines   []line
	sample  string // characters that Chromium needs a font for
}

// cast are the users of every story, without the story's suffix.
var cast = [3]string{"ann", "bob", "cleo"}

// line is a message by one of the cast. An @ before one of the cast mentions that user.
type line struct{ by, body string }

var stories = []story{
	{
		name: "short", people: [3]string{"Ann Amari", "Bob Brandt", "Cleo Castro"}, bio: "Drinks tea.",
		channel: "tea-room", topic: "Where the kettle is always on",
		others: []string{"release-42", "design", "on-call", "random"}, group: "Kitchen",
		lines: []line{
			{"ann", "Good afternoon! The kettle is on."},
			{"bob", "Which one is it today?"},
			{"ann", "**Assam**, second flush. Steep it like this:\n```go\ntime.AfterFunc(4*time.Minute, pour)\n```"},
			{"cleo", "I read https://example.com/tea on the way here: they say *three* minutes."},
			{"bob", "`3 * time.Minute` it is, @ann."},
			{"cleo", "Fine. I bring the biscuits."},
			{"bob", "See you at four."},
			{"ann", "Four it is."},
		},
	},
	{
		name: "long", suffix: ".of-the-infrastructure-and-reliability-team", people: [3]string{
			"Wolfeschlegelsteinhausenbergerdorff Hubert Blaine Maximilian Alexander the Third",
			"Pneumonoultramicroscopicsilicovolcanoconiosisresearchinstitutedirectorassistants",
			"Dr. Cleopatra Castro-Lindqvist von und zu Hohenlohe-Waldenburg-Schillingsfürst",
		},
		bio:     strings.Repeat("Has worked on more systems than fit into this text, and remembers all of them. ", 5),
		channel: "quarterly-planning-of-the-infrastructure-and-reliability-working-group-for-2027",
		topic:   strings.Repeat("Agenda, minutes and decisions of the weekly meeting, with links to the documents. ", 5),
		others: []string{
			"donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft",
			"incident-2027-01-31-partition-3-lag-after-the-upgrade-of-the-message-broker",
			"a channel with a name of many short words that does not fit into the list at all",
		},
		group: "Cross-functional steering committee for the migration of all internal tooling",
		lines: []line{
			{"ann", "https://example.com/" + strings.Repeat("a-path-without-an-end/", 12) + "?" + strings.Repeat("key=value&", 12)},
			{"bob", strings.Repeat("Honorificabilitudinitatibus", 12)},
			{"cleo", strings.Repeat("Nobody has read this paragraph to its end, because it says the same thing over and over again. ", 12)},
			{"ann", "| step | owner | begins | ends | depends on | remarks |\n|---|---|---:|---:|---|---|\n" +
				strings.Repeat("| Move the last tenants to the new cluster | @bob | 2027-01-11 | 2027-02-28 | the quota increase that was requested | needs a maintenance window, announced two weeks ahead |\n", 4)},
			{"bob", "> What was decided last week?\n>> That we decide this week, unless somebody objects, which nobody did while anybody listened to the recording of the meeting.\n\nThe list of what is left:\n\n" +
				"1. Measure " + strings.Repeat("again and again ", 20) + "\n2. Compare\n   - with the figures of last year\n   - with " + strings.Repeat("nothing-that-wraps-", 12) + "\n3. Write down what was learned"},
			{"cleo", "```go\n" + longCode() + "```"},
			{"cleo", "`" + strings.Repeat("inline_code_without_spaces_", 8) + "` and @ann, @bob, @cleo 🎉 are mentioned. ~~" + strings.Repeat("Struck out, ", 10) + "all of it.~~"},
			{"bob", "🎉🚀🧉👩‍👩‍👧‍👦"},
			{"ann", "**" + strings.Repeat("Everything in bold, *some of it in italics as well*. ", 6) + "The end.**"},
		},
		sample: "🎉🧉",
	},
	{
		name: "right-to-left", suffix: ".rtl", people: [3]string{"ليلى الحسيني", "דוד כהן־לוי", "فاطمة الزهراء (Fatima)"},
		bio:     "مهندسة برمجيات في القاهرة.\nאוהבת תה.\nWrites Go.",
		channel: "غرفة-الشاي", topic: "هنا نشرب الشاي ونتحدث عن الإصدار 42 (release)",
		others: []string{"עיצוב", "إصدار-42", "תקלות on-call", "عام"}, group: "مطبخ הצוות",
		lines: []line{
			{"ann", "مساء الخير! الماء يغلي."},
			{"bob", "שלום @ann, איזה תה יש היום?"},
			{"ann", "**شاي آسام**، القطفة الثانية. حضّره هكذا:\n```go\ntime.AfterFunc(4*time.Minute, pour) // أربع دقائق\n```"},
			{"cleo", "قرأت https://example.com/tea في الطريق: يقولون *ثلاث* دقائق (3 min)."},
			{"bob", "> مساء الخير! الماء يغلي.\n\nאז `3 * time.Minute`, בסדר?\n\n1. להרתיח\n2. למזוג\n   - חלב\n   - סוכר"},
			{"cleo", "| الصنف | الكمية | note |\n|---|---:|---|\n| شاي | 150 | ml |\n| חלב | 20 | ml |"},
			{"cleo", strings.Repeat("هذه فقرة طويلة تحتوي على كلمات عربية و English words وأرقام مثل 12345 في السطر نفسه. ", 6)},
			{"bob", "English first, ואחר כך עברית, and English again; then 1-2-3 and (סוגריים)."},
			{"ann", "حسنًا، @bob، اتفقنا."},
		},
		sample: "עשع",
	},
	{
		name: "cjk", suffix: ".cjk", people: [3]string{"王小明", "佐藤 花子", "김민준"},
		bio:     "喝茶的人。\nお茶が好きです。\n차를 좋아합니다.",
		channel: "茶室", topic: "ここではいつでもお湯が沸いています。欢迎喝茶，也欢迎聊天。차 한 잔 하세요.",
		others: []string{"發布-42", "デザイン", "당직", "雑談"}, group: "厨房チーム",
		lines: []line{
			{"ann", "下午好！水已经烧开了。"},
			{"bob", "@ann 今日はどのお茶ですか？"},
			{"ann", "**阿萨姆红茶**，第二茬。这样泡：\n```go\ntime.AfterFunc(4*time.Minute, pour) // 四分钟\n```"},
			{"cleo", "오는 길에 https://example.com/tea 를 읽었어요. *삼* 분이라고 하네요."},
			{"bob", "> 下午好！水已经烧开了。\n\nでは `3 * time.Minute` にしましょう。\n\n1. お湯を沸かす\n2. 注ぐ\n   - 牛乳\n   - 砂糖"},
			{"cleo", "| 품목 | 양 | 備考 |\n|---|---:|---|\n| 茶 | 150 | ミリリットル |\n| 우유 | 20 | 毫升 |"},
			{"cleo", strings.Repeat("这是一个很长的段落，没有任何空格，因此浏览器可以在任意两个汉字之间换行。日本語の文章も同じように折り返されます。", 5)},
			{"bob", "全角ＡＢＣ１２３、そして「かぎ括弧」。"},
			{"ann", "四点见。"},
		},
		sample: "水茶あア한",
	},
}

// longCode returns a program with many and long lines.
func longCode() string {
	var b strings.Builder
	for i := range 40 {
		fmt.Fprintf(&b, "func step%02d(ctx context.Context, in <-chan Event, out chan<- Event, options ...Option) (processed int, err error) { return pipeline(ctx, in, out, %d, options...) }\n", i, i)
	}
	return b.String()
}

// scene is what a story has created on the server.
type scene struct {
	story
	accounts  map[string]account // by name in the cast
	main      string             // the channel with the messages
	own       int64              // the seq of its newest message, which is ann's
	direct    string             // the conversation of ann and bob
	notJoined string             // a public channel that ann has not joined
}

// scene creates the users and channels of a story, and lets the users talk.
func (w *world) scene(s story) scene {
	w.t.Helper()
	made := scene{story: s, accounts: map[string]account{}}
	var mentions []string
	for i, name := range cast {
		who := w.account(name + s.suffix)
		w.call("PATCH", "/v1/me", who.Token, map[string]any{"display_name": s.people[i], "bio": strings.TrimSpace(s.bio)}, nil)
		made.accounts[name] = who
		mentions = append(mentions, "@"+name, "@"+who.Name)
	}
	ann, bob, cleo := made.accounts["ann"], made.accounts["bob"], made.accounts["cleo"]
	made.main = w.described(ann, s.channel, s.topic)
	made.notJoined = w.described(cleo, s.group, s.topic)
	for i, name := range s.others {
		id := w.described(bob, name, s.topic)
		w.join(ann, id)
		w.say(bob, id, "1")
		if i == 2 {
			w.say(bob, id, "@"+ann.Name)
		}
	}
	w.channel(ann, "plans", "private")
	w.join(bob, made.main)
	w.join(cleo, made.main)
	w.call("POST", "/v1/groups", ann.Token, map[string]any{"name": s.group, "description": s.topic}, nil)
	w.call("POST", "/v1/contacts", bob.Token, map[string]any{"user_id": ann.ID}, nil)
	w.call("POST", "/v1/contacts", ann.Token, map[string]any{"user_id": cleo.ID}, nil)
	var dm struct{ ID string }
	w.call("POST", "/v1/dms", bob.Token, map[string]any{"user_id": ann.ID}, &dm)
	made.direct = dm.ID
	w.say(bob, made.direct, s.lines[1].body)
	for _, l := range s.lines {
		w.say(made.accounts[l.by], made.main, strings.NewReplacer(mentions...).Replace(l.body))
	}
	made.own, _ = w.seqs(ann, made.main)
	w.call("PUT", "/v1/channels/"+made.main+"/cursor", ann.Token, map[string]any{"read_seq": made.own}, nil)
	w.call("PUT", "/v1/channels/"+made.main+"/cursor", bob.Token, map[string]any{"read_seq": made.own}, nil)
	w.call("PUT", "/v1/channels/"+made.main+"/cursor", cleo.Token, map[string]any{"delivered_seq": made.own, "read_seq": made.own - 4}, nil)
	return made
}

// described creates a public channel with a topic.
func (w *world) described(by account, name, topic string) string {
	w.t.Helper()
	id := w.channel(by, name, "public")
	w.call("PATCH", "/v1/channels/"+id, by.Token, map[string]any{"description": strings.TrimSpace(topic)}, nil)
	return id
}

// seqs returns the seq of the newest event in a channel, and the seq up to which the user has read.
func (w *world) seqs(who account, channel string) (last, read int64) {
	w.t.Helper()
	var in struct {
		LastSeq     int64 `json:"last_seq"`
		LastReadSeq int64 `json:"last_read_seq"`
	}
	w.call("GET", "/v1/channels/"+channel, who.Token, nil, &in)
	return in.LastSeq, in.LastReadSeq
}
