/* How otad makes a package durable, for Debian's spin. One job, from Idle to
 * Ready, on a disk that loses any subset of what is not synced at a power cut, and
 * keeps it in the page cache when only the process is killed. Each comment names
 * the function that a step stands for. An interval is what ends with a checkpoint:
 * -checkpoint bytes, or less where a checkpoint is made by time.
 *
 * The properties are the assertions of monitor, and that every run ends in Ready.
 * A macro such as NO_SYNC puts a bug in; model_test.go has the list of them. */

#define N 3             /* intervals of the package */
#ifdef RECORDED         /* a recorded run is appended, which takes each event in its order */
#define EVENT(what, n) event!what, n;
chan event = [0] of { byte, byte };
#else
#define EVENT(what, n)
#endif
#ifndef DEATHS
#define DEATHS 2        /* power cuts and kills in a run */
#endif
#ifndef TROUBLE
#define TROUBLE 1       /* stops, broken and bad answers in a run */
#endif
#define EOF     7                       /* closes a channel of intervals */
#define UPTO(n) ((1 << (n)) - 1)        /* the first n intervals, as bits */

#define WRITE          1 /* events */
#define SYNCED         2
#define COMMIT         3
#define COMMITTED      4
#define REPORT         5
#define PUBLISH        6
#define STATE_DURABLE  7
#define STATE_REPORTED 8

#define IDLE        0
#define DOWNLOADING 1
#define VERIFYING   2
#define READY       3
/* journal.Record's state and its newest journal.Checkpoint, in one byte */
#define REC(state, claim, digest) ((state) << 6 | (digest) << 3 | (claim))
#define STATE(r)  ((r) >> 6)
#define DIGEST(r) ((r) >> 3 & 7)
#define CLAIM(r)  ((r) & 7)

/* The disk. dirty: not synced, so a cut may take it or leave it. */
byte cur, curDirty, stored;             /* intervals that the file holds, and its end */
bool part, partDirty;                   /* the name NAME.otad-part */
bool final, finalDirty;                 /* the rename to NAME */
bool journal, journalDirty, journalHalf;/* the name journal.db, and whether its file is whole */
byte onDisk, seen;                      /* the record: durable, and as processes see it */
bool metaDirty, pagesDirty, torn, overwrote, broken;

/* What otad has reported. */
byte saidState, said;
bool givingUp;                          /* claims end for a proof: a rewind, a new object */

/* The process. */
byte mem, saved, hashedUpTo, alive, deaths, trouble;
bool dead, power, stopping, tooLong, underWay;
chan received = [0] of { byte };
chan hashed   = [0] of { byte, byte };  /* interval, digest after it */
#if defined(STORE_TOO_MUCH) || defined(NEXT_FIRST)
chan claims   = [2] of { byte, byte };
#else
chan claims   = [0] of { byte, byte };
#endif
chan commits  = [1] of { byte };

/* ---- the disk ---- */
inline syncJournal() { atomic { onDisk = seen; metaDirty = false; pagesDirty = false; torn = false; overwrote = false } }
inline syncDir()     { atomic { partDirty = false; finalDirty = false; journalDirty = false } }
inline syncFile()    { curDirty = 0 }
inline truncate(n)   { atomic { curDirty = curDirty | (cur & ~UPTO(n)); cur = cur & UPTO(n); stored = n } }

/* One transaction of bbolt, journal.write: pages, sync, meta page, sync. */
inline transact(r) {
	atomic { pagesDirty = true; overwrote = metaDirty };
	atomic {
#ifndef NO_PAGE_SYNC
		syncJournal();
#endif
		seen = r; metaDirty = true; torn = pagesDirty };
#ifndef NO_META_SYNC
	syncJournal();
#endif
	mem = r
}

/* A power cut. */
inline cut() {
	for (i : 0 .. N-1) {
		if
		:: curDirty >> i & 1 -> if :: cur = cur & ~(1 << i) :: cur = cur | 1 << i fi
		:: else
		fi
	}
	curDirty = 0;
	if :: finalDirty -> if :: final = false; part = true :: skip fi :: else fi;
	if :: partDirty -> if :: part = false; final = false; cur = 0 :: skip fi :: else fi;
	if :: journalDirty -> if :: journal = false :: broken = journalHalf fi :: else fi;
	if
	:: metaDirty -> if :: seen = onDisk; broken = broken || overwrote :: onDisk = seen; broken = broken || torn fi
	:: else
	fi;
	partDirty = false; finalDirty = false; journalDirty = false;
	metaDirty = false; pagesDirty = false; torn = false; overwrote = false
}

/* ---- the stages of transfer.pump ---- */
proctype receiver(byte off) { /* receiver.run */
	{
	do
	:: off < N -> received!off; off++
	:: off == N -> break
	:: off == N && trouble < TROUBLE -> trouble++; tooLong = true; break /* the answer goes on after its end */
	:: off < N && trouble < TROUBLE -> trouble++; break                  /* the network breaks off */
	:: off < N && trouble < TROUBLE -> trouble++; stopping = true; break /* a stop: the process ends */
	od;
	received!EOF
	} unless { dead };
	alive--
}

proctype hasher() { /* hasher.run */
	byte i;
	{
	do
	:: received?i ->
		if
		:: i == EOF -> break
		:: else -> hashedUpTo = i + 1; hashed!i, hashedUpTo
		fi
	od;
	hashed!EOF, 0
	} unless { dead };
	alive--
}

inline await() { /* diskWriter.await */
	if :: underWay -> commits?saved; underWay = false :: else fi
}

inline begin(n, d) { /* diskWriter.begin */
#ifdef DIGEST_AHEAD
	claims!n, hashedUpTo;
#else
	claims!n, d;
#endif
	claimed = n; underWay = true
}

inline checkpoint() { /* diskWriter.checkpoint */
	if
	:: next == claimed
	:: else ->
#ifdef COMMIT_BEFORE_SYNC
		await(); begin(next, digest); await();
#endif
#ifndef NO_SYNC
		syncFile(); EVENT(SYNCED, next)
#endif
#if defined(STORE_TOO_MUCH) || defined(NEXT_FIRST)
		if :: waiting == 2 -> commits?saved; waiting-- :: else fi;
		waiting++; begin(next, digest)
#else
		await(); begin(next, digest)
#endif
	fi
}

proctype diskWriter() { /* diskWriter.run */
	byte i, next = saved, claimed = saved, digest, d;
	bool late;
#if defined(STORE_TOO_MUCH) || defined(NEXT_FIRST)
	byte waiting;
#endif
	{
	do
	:: hashed?i, d ->
		if
		:: i == EOF -> break
		:: i != EOF && stopping -> late = true /* no time for this block: it and the others are dropped */
		:: i != EOF && !late -> /* diskWriter.store */
#ifdef NEXT_FIRST
			if :: waiting == 2 -> commits?saved; waiting-- :: else fi;
#endif
			atomic { EVENT(WRITE, i + 1) cur = cur | 1 << i; curDirty = curDirty | 1 << i; stored = i + 1 };
			next = i + 1; digest = d;
			if :: stopping -> late = true /* diskWriter.tooLate, and so for every later block */ :: checkpoint() fi
		fi
	od;
	if :: stopping :: checkpoint() fi;
#if defined(STORE_TOO_MUCH) || defined(NEXT_FIRST)
	do :: waiting > 0 -> commits?saved; waiting-- :: else -> break od; underWay = false;
#else
	await();
#endif
	claims!EOF, 0
	} unless { dead };
	alive--
}

inline commit(n, d) { /* journalWriter.commit, reporter.durable */
#ifdef REPORT_FIRST
	said = n;
#endif
	EVENT(COMMIT, n)
	transact(REC(DOWNLOADING, n, d));
	EVENT(COMMITTED, n)
	commits!n;
	EVENT(REPORT, n)
	said = n
}

proctype committer() { /* committer.run */
	byte n, d;
	{
	do
#ifdef NEXT_FIRST
	:: claims??2, d -> n = 2; commit(n, d)
#endif
	:: claims?n, d ->
		if :: n == EOF -> break :: else -> commit(n, d) fi
	od
	} unless { dead };
	alive--
}

/* ---- the life of a process ---- */
inline giveUp(n) { /* transfer.startOver, transfer.rewind */
	givingUp = true;
	transact(REC(DOWNLOADING, n, n));
	atomic { saved = n; said = n };
	truncate(n);
	givingUp = false
}

inline enter(state, n) { /* Updater.commitTransition, Updater.observe */
	transact(REC(state, n, n)); EVENT(STATE_DURABLE, state) saidState = state; EVENT(STATE_REPORTED, state)
}

inline publish() { /* Partial.Publish */
	syncFile();
	atomic { EVENT(PUBLISH, 0) part = false; final = true; finalDirty = true };
#ifndef NO_DIR_SYNC_RENAME
	syncDir()
#endif
}

proctype machine() {
	byte from;
	{
	/* journal.Open */
	if
	:: journal -> broken = broken || journalHalf
	:: else ->
#ifdef JOURNAL_IN_PLACE
		atomic { journal = true; journalDirty = true; journalHalf = true };
		journalHalf = false;
#else
		atomic { journal = true; journalDirty = true }; /* journal.db.new was synced: the rename */
#endif
		syncDir()
	fi;
#ifndef NO_SYNC_AT_OPEN
	syncJournal();
#endif
	atomic { mem = seen; said = CLAIM(mem); saidState = STATE(mem) };
	if
	:: STATE(mem) == IDLE -> /* Updater.Start */
#ifdef NO_META_SYNC
		saidState = DOWNLOADING;
#endif
		enter(DOWNLOADING, 0)
	:: else
	fi;
	do
	:: STATE(mem) == DOWNLOADING -> /* transfer.download */
		atomic { if :: part :: else -> part = true; partDirty = true fi }; /* StateDir.OpenPartial */
#ifndef NO_DIR_SYNC_CREATE
		syncDir();
#endif
		saved = CLAIM(mem); /* resumer.resume */
		assert((cur & UPTO(saved)) == UPTO(saved));
		truncate(saved); givingUp = false;
		do
		:: stopping || saved == N -> break
		:: !stopping && 0 < saved && saved < N && trouble < TROUBLE -> trouble++; giveUp(0) /* a server without ranges */
		:: !stopping && saved < N -> /* transfer.pump */
			atomic { from = saved; alive = alive + 4;
				run receiver(saved); run hasher(); run diskWriter(); run committer() };
			alive == 1;
			assert(!underWay);
			hashedUpTo = 0;
			if :: tooLong -> tooLong = false; giveUp(from) :: else fi
		od;
		if :: stopping -> atomic { stopping = false; saved = 0; hashedUpTo = 0; mem = 0; break } :: else fi;
		enter(VERIFYING, N)
	:: STATE(mem) == VERIFYING -> /* verifier.verify */
		syncDir(); /* StateDir.OpenPartial */
#ifdef READY_FIRST
		enter(READY, N);
#endif
		if
		:: part -> assert(cur == UPTO(N)); publish()
		:: !part && final /* verifier.finishPublished */
		fi;
		enter(READY, N)
	:: STATE(mem) == READY -> break
	od
	} unless { dead };
	alive--
}

/* The board starts otad, again and again, until the package is Ready. */
active proctype board() {
	byte i;
	do
	:: atomic { alive > 0 && !dead && deaths < DEATHS -> deaths++; dead = true; if :: power = true :: power = false fi }
	:: atomic { alive == 0 && !dead && saidState == READY -> break }
	:: atomic { alive == 0 && !dead && saidState != READY -> alive = 1; run machine() }
	:: atomic { alive == 0 && dead ->
		if :: power -> cut() :: else fi;
		do :: nempty(commits) -> commits?_ :: empty(commits) -> break od;
#if defined(STORE_TOO_MUCH) || defined(NEXT_FIRST)
		do :: nempty(claims) -> claims?_, _ :: empty(claims) -> break od;
#endif
		underWay = false; tooLong = false; pagesDirty = false;
		mem = 0; saved = 0; hashedUpTo = 0; stopping = false; dead = false }
	od
}

/* ---- the promises ---- */
#define SAFE(n)  ((cur & ~curDirty & UPTO(n)) == UPTO(n) && (n == 0 || !partDirty))
#define DURABLE(r) (SAFE(CLAIM(r)) && DIGEST(r) == CLAIM(r))
#define WHOLE(r)   (STATE(r) != READY || final && !finalDirty && SAFE(N))

active proctype monitor() {
end:	atomic {
		!(DURABLE(onDisk) && DURABLE(seen) && (givingUp || said <= CLAIM(onDisk) && stored <= CLAIM(onDisk) + 2)
			&& saidState <= STATE(onDisk) && WHOLE(onDisk) && WHOLE(seen) && !broken) ->
		assert(DURABLE(onDisk) && DURABLE(seen));       /* no claim of a byte that is not durable */
		assert(givingUp || said <= CLAIM(onDisk));      /* nothing is reported before its commit */
		assert(saidState <= STATE(onDisk));
		assert(givingUp || stored <= CLAIM(onDisk) + 2);/* at most two intervals are unclaimed */
		assert(WHOLE(onDisk) && WHOLE(seen));           /* Ready only with the whole package */
		assert(!broken)                                 /* the journal can be read */
	}
}
