/*
 * Leases of one budget: a home that grants them, two gateways that spend from them, and a network that loses, doubles and
 * reorders what they say. README.md says what is modelled, at which bounds, and what each `#ifdef` is for.
 *
 * Every atomic block is one durable step: a transaction of the home, a record of a journal, a turn of a gateway's memory.
 * Money is counted in the smallest hold; an ask and the lease that answers it have one number.
 */
#ifndef LIMIT
#define LIMIT 2
#endif
#ifndef ASKS
#define ASKS 2 /* of each gateway, in all its epochs, at most 3 */
#endif
#ifndef NET
#define NET 2 /* messages under way, at most 3 */
#endif
#ifndef CRASHES
#define CRASHES 1
#endif
#ifndef LISTS
#define LISTS 0 /* whole lists of gateway 0 in each epoch, before the calm; with them, gateways give asks up */
#endif
#ifndef SILENCE
#define SILENCE 1 /* gateways fall silent, 0: they do not */
#endif

#define GATEWAYS 2
#define LEASES (GATEWAYS * ASKS)
#define GATEWAY_OF(lease) ((lease) / ASKS)
#define FIRST_OF(gateway) ((gateway) * ASKS)

/* ---- what may happen ---- */

/* Weather: until the calm, messages are lost and doubled, gateways crash and fall silent, and calls come in. */
bit calm;
byte crashesLeft = CRASHES;

/* ---- the gateways ---- */

#define DOWN 0
#define UP 1
#define ADOPTED 2 /* has ended for ever; a sibling speaks from its journal */

#define UNASKED 0
#define ASKING 1
#define LEASED 2
#define OVER 3 /* refused, given up, or of an epoch that has ended */

typedef Gateway {
  unsigned state : 2;
  unsigned epoch : 2;
  unsigned listed : 3;  /* number of its last whole list */
  unsigned term : 1;    /* grants of an older term are not taken */
};
Gateway gateway[GATEWAYS];

typedef Lease {
  /* memory: gone with a crash */
  unsigned phase : 2;
  unsigned need : 2;
  unsigned free : 2;
  unsigned stopped : 1; /* recalled, or its ttl has ended: no new holds, and what is idle goes back */
  unsigned returned : 2;
  unsigned born : 3;    /* lists of its gateway before the ask */
  /* journal */
  unsigned held : 2;    /* calls that are open: a hold is in the journal before its money is used */
  unsigned settled : 2;
  unsigned unresolved : 2;
#ifdef SETTLE_BY_INCREMENTS
  unsigned told : 2;
#endif
#ifdef SEGMENT_DROPPED
  unsigned dropped : 1;
#endif
};
Lease lease[LEASES];

/* ---- the home, as its database has it ---- */

#define NONE 0
#define OPEN 1
#define CLOSED 2
#define REFUSED 3 /* an ask has one answer, a refusal too */

typedef Row {
  unsigned state : 2;
  unsigned epoch : 2;
  unsigned born : 3;
  unsigned missed : 2;  /* whole lists in a row that do not name it */
  unsigned amount : 2;
  unsigned returned : 2;
  unsigned unresolved : 2;
  unsigned settled : 4; /* wide enough for what mistakes make of it */
};
Row row[LEASES];

typedef Peer {
  unsigned fence : 2;   /* highest epoch that was heard of */
  unsigned listed : 3;
  unsigned silent : 1;  /* its leases count as unresolved, whole */
  unsigned met : 1;     /* has said hello in this term */
  unsigned greeted : 2; /* highest epoch whose hello has come */
};
Peer peer[GATEWAYS];

bit term;
byte taken; /* settled + unresolved + outstanding */
byte firm;  /* settled + unresolved */

/* ---- the truth, which nobody sees ---- */

/* Scratch: whoever reads it has written it since the last choice. No part of any state. */
hidden int m, said;
hidden byte k, i, j, sum, idle;

byte spent;   /* what calls have cost, with what those may yet cost that run or whose end nobody saw */
byte counted; /* what the gateways have settled: measured, and the estimated part of what a crash cut off */

/* ---- the network: a set, kept as a falling row ---- */

int net[NET];

#define ROOM (net[NET - 1] == 0)
#if NET == 1
#define UNDER_WAY(m) (net[0] == (m))
#elif NET == 2
#define UNDER_WAY(m) (net[0] == (m) || net[1] == (m))
#else
#define UNDER_WAY(m) (net[0] == (m) || net[1] == (m) || net[2] == (m))
#endif

#define ASK 1
#define GRANT 2
#define REFUSAL 3
#define RECALL 4
#define RETURN 5
#define SETTLE 6
#define HELLO 7
#define LIST 8

/* One value of a lease, or one for each lease of a gateway. */
#define VALUES(a) ((a) << 13)
#define MORE_VALUES(a) ((a) << (13 + 2 * ASKS))
#define MESSAGE(kind, of, epoch) ((kind) | ((of) << 4) | ((epoch) << 7))
#define NUMBERED(n) ((n) << 10)
#define IN_TERM(t) ((t) << 9)

#define KIND(m) ((m) & 15)
#define OF(m) (((m) >> 4) & 7)
#define EPOCH(m) (((m) >> 7) & 3)
#define TERM(m) (((m) >> 9) & 1)
#define NUMBER(m) (((m) >> 10) & 7)
#define VALUE(m) (((m) >> 13) & 3)
#define MORE_VALUE(m) (((m) >> (13 + 2 * ASKS)) & 3)
/* Of the lease that is the k-th of its gateway: field 0 is VALUES, 1 is MORE_VALUES, and so on. */
#define FIELD(m, f, k) (((m) >> (13 + (f) * 2 * ASKS + 2 * (k))) & 3)

#define ASK_OF(l) (MESSAGE(ASK, l, gateway[GATEWAY_OF(l)].epoch) | VALUES(lease[l].need) | NUMBERED(lease[l].born))
#define RETURN_OF(l) (MESSAGE(RETURN, l, gateway[GATEWAY_OF(l)].epoch) | VALUES(lease[l].returned))
#ifdef SETTLE_BY_INCREMENTS
#define SETTLE_OF(l) (MESSAGE(SETTLE, l, gateway[GATEWAY_OF(l)].epoch) | VALUES(lease[l].settled - lease[l].told))
#define UNSETTLED(l) (lease[l].settled > lease[l].told)
#else
#define SETTLE_OF(l) (MESSAGE(SETTLE, l, gateway[GATEWAY_OF(l)].epoch) | VALUES(lease[l].settled) | MORE_VALUES(lease[l].unresolved))
#define UNSETTLED(l) (lease[l].settled > row[l].settled || lease[l].unresolved > row[l].unresolved)
#endif

/* A message that finds no room is lost; one that is under way already is doubled by its delivery. */
inline put(message) {
  m = message;
  if
  :: !ROOM || UNDER_WAY(m) -> skip
  :: else ->
     i = NET - 1;
     do
     :: i > 0 ->
        if
        :: net[i - 1] < m -> net[i] = net[i - 1]; i--
        :: else -> break
        fi
     :: else -> break
     od;
     net[i] = m;
     i = 0
  fi;
  m = 0
}

inline takeOut(slot) {
  i = slot;
  do
  :: i < NET - 1 -> net[i] = net[i + 1]; i++
  :: else -> break
  od;
  net[NET - 1] = 0;
  i = 0
}

/* ---- what the home does, a transaction each ---- */

#define ALL_KNOWN(l) (!UNSETTLED(l) && lease[l].free + lease[l].held == 0)

inline forget(f) {
  lease[f].phase = OVER;
  lease[f].stopped = 0;
  lease[f].returned = 0;
  lease[f].settled = 0;
  lease[f].unresolved = 0
}


#define OUT(l) (row[l].amount - row[l].settled - row[l].returned - row[l].unresolved)

inline max(have, told) {
  if
  :: (told) > have -> have = told
  :: else -> skip
  fi
}

/* What was not settled, and is not unresolved, is free again. */
inline closeRow(c) {
  row[c].state = CLOSED;
  row[c].amount = 0;
  row[c].returned = 0;
  row[c].epoch = 0;
  row[c].missed = 0;
  row[c].born = 0
}

/* Ends each transaction: what a lease has accounted for whole is closed, and the sums are drawn. */
inline commit() {
    taken = 0;
    firm = 0;
    for (j : 0 .. LEASES - 1) {
      if
      :: row[j].state == OPEN ->
         assert(OUT(j) >= 0); /* a lease never has more than was granted */
         if
         :: OUT(j) == 0 -> closeRow(j)
         :: else -> skip
         fi
      :: else -> skip
      fi;
      /* An answer reaches its gateway at once: see README. What a gateway has no more use for it forgets. */
      if
      :: row[j].state == CLOSED && gateway[GATEWAY_OF(j)].state != DOWN && lease[j].phase >= LEASED && ALL_KNOWN(j) -> forget(j)
      :: else -> skip
      fi;
      firm = firm + row[j].settled + row[j].unresolved;
      if
      :: row[j].state == OPEN ->
         taken = taken + OUT(j);
         if
         :: peer[GATEWAY_OF(j)].silent -> firm = firm + OUT(j)
         :: else -> skip
         fi
      :: else -> skip
      fi;
      taken = taken + row[j].settled + row[j].unresolved
    }
    j = 0;
    assert(taken <= LIMIT) /* I: no grant lifts settled + unresolved + outstanding above the limit */
}

/* Any message of a higher epoch fences what older ones ask. */
inline hear(g, heardEpoch) {
  peer[g].silent = 0;
  if
  :: heardEpoch > peer[g].fence -> peer[g].fence = heardEpoch; peer[g].listed = 0
  :: else -> skip
  fi
}

#ifdef PROMOTED_AT_ONCE
#define MAY_GRANT true
#else
#define MAY_GRANT (peer[0].met && peer[1].met)
#endif
#define GRANT_OF(l) (MESSAGE(GRANT, l, row[l].epoch) | VALUES(row[l].amount) | IN_TERM(term))

inline onAsk() {
  l = OF(got);
  g = GATEWAY_OF(l);
  if
  :: EPOCH(got) < peer[g].fence || row[l].state == CLOSED -> skip
  :: else ->
     d_step { hear(g, EPOCH(got)); commit() }
     if
     :: row[l].state == OPEN -> put(GRANT_OF(l))
     :: row[l].state == REFUSED -> put(MESSAGE(REFUSAL, l, EPOCH(got)))
     :: row[l].state == NONE && !MAY_GRANT -> skip
     :: row[l].state == NONE && MAY_GRANT && taken + VALUE(got) <= LIMIT ->
        row[l].amount = VALUE(got);
        do
        :: taken + row[l].amount < LIMIT -> row[l].amount++
        :: break
        od;
        skip;
        d_step {
          row[l].state = OPEN;
          row[l].epoch = EPOCH(got);
          row[l].born = NUMBER(got);
          commit();
          put(GRANT_OF(l))
        }
     :: row[l].state == NONE && MAY_GRANT && firm + VALUE(got) > LIMIT ->
        row[l].state = REFUSED;
        put(MESSAGE(REFUSAL, l, EPOCH(got)))
     :: row[l].state == NONE && MAY_GRANT && taken + VALUE(got) > LIMIT && firm + VALUE(got) <= LIMIT ->
        /* Held: idle money is recalled, and the ask comes again. Before the calm leases stop by themselves, at any time. */
        if
        :: calm -> put(MESSAGE(RECALL, 0, 0)); put(MESSAGE(RECALL, 1, 0))
        :: else -> skip
        fi
     fi
  fi
}

inline onReturn() {
  l = OF(got);
  if
  :: row[l].state == NONE -> skip
  :: else ->
     if
     :: row[l].state == OPEN -> max(row[l].returned, VALUE(got))
     :: else -> skip
     fi;
     commit()
  fi
}

/* Totals count for a lease that is closed, too: what was spent was spent. */
inline onSettle() {
  l = OF(got);
  if
  :: row[l].state == NONE -> skip
  :: else ->
#if defined(SETTLE_BY_INCREMENTS) || defined(NO_DEDUP)
     row[l].settled = row[l].settled + VALUE(got);
#else
     max(row[l].settled, VALUE(got));
#endif
     max(row[l].unresolved, MORE_VALUE(got));
     commit()
  fi
}

/* Leases of older epochs end: those that the journal names with its totals, the others with what was heard of them. */
inline onHello() {
  g = OF(got);
  if
  :: EPOCH(got) < peer[g].fence -> skip
  :: else ->
     hear(g, EPOCH(got));
     for (k : 0 .. ASKS - 1) {
       l = FIRST_OF(g) + k;
       if
       :: row[l].state == CLOSED || (row[l].state == OPEN && row[l].epoch < EPOCH(got)) ->
          max(row[l].settled, FIELD(got, 0, k));
          max(row[l].unresolved, FIELD(got, 1, k));
          closeRow(l)
#ifdef PROMOTED
       :: row[l].state == NONE && FIELD(got, 2, k) > 0 ->
          /* A lease that this database never saw: it is taken from the gateway's word. */
          row[l].state = OPEN;
          row[l].epoch = EPOCH(got);
          row[l].amount = FIELD(got, 2, k);
          row[l].settled = FIELD(got, 0, k);
          row[l].returned = FIELD(got, 3, k)
       :: row[l].state == NONE && FIELD(got, 2, k) == 0 && FIELD(got, 0, k) + FIELD(got, 1, k) > 0 ->
          row[l].state = CLOSED;
          row[l].settled = FIELD(got, 0, k);
          row[l].unresolved = FIELD(got, 1, k)
#endif
       :: else -> skip
       fi
     }
     k = 0;
     peer[g].greeted = EPOCH(got);
     if
     :: TERM(got) == term -> peer[g].met = 1
     :: else -> skip
     fi;
     commit()
  fi
}

/* A list counts for the leases whose ask was sent before it, once, and tells of open asks, too. */
inline onList() {
  g = OF(got);
  if
  :: EPOCH(got) < peer[g].fence -> skip
  :: else ->
     hear(g, EPOCH(got));
     if
     :: NUMBER(got) <= peer[g].listed -> skip
     :: else ->
        peer[g].listed = NUMBER(got);
        for (k : 0 .. ASKS - 1) {
          l = FIRST_OF(g) + k;
          if
#ifdef LISTS_OF_ANY_AGE
          :: row[l].state != OPEN || row[l].epoch != EPOCH(got) -> skip
#else
          :: row[l].state != OPEN || row[l].epoch != EPOCH(got) || NUMBER(got) <= row[l].born -> skip
#endif
          :: else ->
             if
             :: FIELD(got, 0, k) > 0 -> row[l].missed = 0
#ifdef WAITS_FOR_ALL_ASKS
             :: FIELD(got, 0, k) == 0 && FIELD(got, 1, 0) > 0 -> row[l].missed = 0
             :: FIELD(got, 0, k) == 0 && FIELD(got, 1, 0) == 0 -> row[l].missed++
#else
             :: else -> row[l].missed++
#endif
             fi;
             if
             :: row[l].missed == 2 -> closeRow(l)
             :: else -> skip
             fi
          fi
        }
        k = 0
     fi;
     commit()
  fi
}

/* ---- what a gateway hears ---- */

#ifdef TAKES_OLD_GRANTS
#define OF_THIS_TERM(g) true
#else
#define OF_THIS_TERM(g) (TERM(got) >= gateway[g].term)
#endif

/* Only an ask that is open takes its grant: the home may have closed any other. */
inline onGrant() {
  l = OF(got);
  g = GATEWAY_OF(l);
  if
  :: gateway[g].state == UP && gateway[g].epoch == EPOCH(got) && lease[l].phase == ASKING && OF_THIS_TERM(g) ->
     lease[l].phase = LEASED;
     lease[l].free = VALUE(got);
     if
     :: lease[l].held = lease[l].need;
#ifndef CHECK_WITHOUT_HOLD
        lease[l].free = lease[l].free - lease[l].need;
#endif
        spent = spent + lease[l].need;
        assert(spent <= LIMIT)
     :: skip /* the call has gone: the money is kept as idle */
     fi;
     lease[l].need = 0
  :: else -> skip
  fi
}

inline onRefusal() {
  l = OF(got);
  g = GATEWAY_OF(l);
  if
  :: gateway[g].state == UP && lease[l].phase == ASKING -> lease[l].phase = OVER; lease[l].need = 0
  :: else -> skip
  fi
}

inline onRecall() {
  g = OF(got);
  if
  :: gateway[g].state == UP ->
     for (k : 0 .. ASKS - 1) {
       if
       :: lease[FIRST_OF(g) + k].phase == LEASED -> lease[FIRST_OF(g) + k].stopped = 1
       :: else -> skip
       fi
     }
     k = 0
  :: else -> skip
  fi
}

/* ---- messages that can change nothing any more are taken for lost: fewer states, the same behaviour ---- */

#if defined(NO_DEDUP) || defined(SETTLE_BY_INCREMENTS)
#define DEAD_SETTLE(m) false
#else
#define DEAD_SETTLE(m) (row[OF(m)].state != NONE && VALUE(m) <= row[OF(m)].settled && MORE_VALUE(m) <= row[OF(m)].unresolved)
#endif
#define DEAD_ASK(m) (EPOCH(m) < peer[GATEWAY_OF(OF(m))].fence || row[OF(m)].state == CLOSED || (row[OF(m)].state != NONE && lease[OF(m)].phase != ASKING))
#define DEAD_ANSWER(m) (lease[OF(m)].phase != ASKING)
#define DEAD_RETURN(m) (row[OF(m)].state != NONE && (row[OF(m)].state != OPEN || VALUE(m) <= row[OF(m)].returned))
#ifdef PROMOTED
#define DEAD_HELLO(m) (EPOCH(m) < peer[OF(m)].fence)
#else
#define DEAD_HELLO(m) (EPOCH(m) < peer[OF(m)].fence || EPOCH(m) <= peer[OF(m)].greeted)
#endif
#define DEAD_LIST(m) (EPOCH(m) < peer[OF(m)].fence)
#define DEAD(m) ((KIND(m) == ASK && DEAD_ASK(m)) || ((KIND(m) == GRANT || KIND(m) == REFUSAL) && DEAD_ANSWER(m)) || (KIND(m) == RETURN && DEAD_RETURN(m)) || (KIND(m) == SETTLE && DEAD_SETTLE(m)) || (KIND(m) == HELLO && DEAD_HELLO(m)) || (KIND(m) == LIST && DEAD_LIST(m)))

inline bury() {
  k = 0;

  do
  :: k < NET ->
     if
     :: net[k] != 0 && DEAD(net[k]) -> takeOut(k)
     :: else -> k++
     fi
  :: else -> break
  od;
  k = 0
}

/* ---- processes ---- */

/* One place of the network. */
proctype Slot(byte slot) {
  int got;
  byte l, g;

end:
  do
  :: atomic {
       net[slot] != 0 ->
       got = net[slot];
       if
       :: d_step { takeOut(slot) }
       :: !calm -> skip /* and once more, some time */
       fi;
       if
       :: KIND(got) == ASK -> onAsk()
       :: KIND(got) == GRANT -> onGrant()
       :: d_step { KIND(got) == REFUSAL -> onRefusal() }
       :: d_step { KIND(got) == RECALL -> onRecall() }
       :: d_step { KIND(got) == RETURN -> onReturn() }
       :: d_step { KIND(got) == SETTLE -> onSettle() }
       :: d_step { KIND(got) == HELLO -> onHello() }
       :: d_step { KIND(got) == LIST -> onList() }
       fi;
       skip;
       d_step { bury(); got = 0; m = 0; l = 0; g = 0; k = 0; i = 0; j = 0 }
     }
  :: d_step { !calm && net[slot] != 0 -> takeOut(slot) } /* lost */
  od
}

#define RECALLABLE(l) (lease[l].phase == LEASED && lease[l].free > 0 && !lease[l].stopped)
#if ASKS == 1
#define ANY_RECALLABLE (RECALLABLE(0) || RECALLABLE(1))
#elif ASKS == 2
#define ANY_RECALLABLE (RECALLABLE(0) || RECALLABLE(1) || RECALLABLE(2) || RECALLABLE(3))
#else
#define ANY_RECALLABLE (RECALLABLE(0) || RECALLABLE(1) || RECALLABLE(2) || RECALLABLE(3) || RECALLABLE(4) || RECALLABLE(5))
#endif
#define ANSWERS(m, l) (KIND(m) == RECALL || ((KIND(m) == GRANT || KIND(m) == REFUSAL) && OF(m) == (l)))
#if NET == 1
#define ANSWER_UNDER_WAY(l) ANSWERS(net[0], l)
#elif NET == 2
#define ANSWER_UNDER_WAY(l) (ANSWERS(net[0], l) || ANSWERS(net[1], l))
#else
#define ANSWER_UNDER_WAY(l) (ANSWERS(net[0], l) || ANSWERS(net[1], l) || ANSWERS(net[2], l))
#endif
/* In the calm an ask is repeated while that changes something, so that one which starves is the end of the run. */
#define WORTH_ASKING(l) (!calm || (!ANSWER_UNDER_WAY(l) && (row[l].state == OPEN || row[l].state == REFUSED \
  || (row[l].state == NONE && MAY_GRANT && (taken + lease[l].need <= LIMIT || firm + lease[l].need > LIMIT || ANY_RECALLABLE)))))

/* One ask of a gateway, and the lease that comes of it. */
proctype Asked(byte l) {
end:
  do
  :: atomic { /* a call does not fit what is leased */
       !calm && gateway[GATEWAY_OF(l)].state == UP && lease[l].phase == UNASKED && (l == FIRST_OF(GATEWAY_OF(l)) || lease[l - 1].phase != UNASKED) ->
       lease[l].phase = ASKING;
       lease[l].born = gateway[GATEWAY_OF(l)].listed;
       if
       :: lease[l].need = 1
       :: lease[l].need = 2
       fi
     }
  :: d_step { lease[l].phase == ASKING && gateway[GATEWAY_OF(l)].state == UP && ROOM && !UNDER_WAY(ASK_OF(l)) && WORTH_ASKING(l) -> put(ASK_OF(l)) }
  :: d_step { /* a call takes its hold from what is idle */
       !calm && lease[l].phase == LEASED && !lease[l].stopped && lease[l].free > 0 && lease[l].held < 3 ->
#ifndef CHECK_WITHOUT_HOLD
       lease[l].free--;
#endif
       lease[l].held++;
       spent++;
       assert(spent <= LIMIT) /* II: what is truly spent stays within the limit */
     }
  :: atomic { /* a call ends, and its lease settles what it has cost */
       lease[l].phase == LEASED && lease[l].held > 0 ->
       lease[l].held--;
       if
       :: lease[l].settled++; counted++;
#ifdef CHECK_WITHOUT_HOLD
          lease[l].free = (lease[l].free > 0 -> lease[l].free - 1 : 0)
#endif
       :: spent--;
#ifndef CHECK_WITHOUT_HOLD
          lease[l].free++
#endif
       fi
     }
  :: d_step { !calm && lease[l].phase == LEASED && !lease[l].stopped && lease[l].free + lease[l].held > 0 -> lease[l].stopped = 1 }
  :: d_step {
       lease[l].phase == LEASED && lease[l].free > 0 && lease[l].stopped ->
       lease[l].returned = lease[l].returned + lease[l].free;
       lease[l].free = 0
     }
  :: d_step { lease[l].phase == LEASED && lease[l].returned > row[l].returned && ROOM && !UNDER_WAY(RETURN_OF(l)) -> put(RETURN_OF(l)) }
  :: d_step {
       lease[l].phase == LEASED && UNSETTLED(l) && ROOM && !UNDER_WAY(SETTLE_OF(l)) ->
       put(SETTLE_OF(l));
#ifdef SETTLE_BY_INCREMENTS
       lease[l].told = lease[l].settled
#endif
     }
#ifdef SEGMENT_DROPPED
  :: d_step { !calm && lease[l].phase == LEASED && !lease[l].dropped && lease[l].held == 0 && lease[l].settled > 0 -> lease[l].dropped = 1 }
#endif
#ifdef FREE_ON_EXPIRY
  :: d_step { /* its end, at the home */
       !calm && row[l].state == OPEN && lease[l].stopped -> closeRow(l); commit() }
#endif
#ifdef NEW_ASK_ID
  :: d_step { /* a retry under a new number */
       !calm && lease[l].phase == ASKING && l + 1 < FIRST_OF(GATEWAY_OF(l)) + ASKS && lease[l + 1].phase == UNASKED ->
       lease[l + 1].phase = ASKING;
       lease[l + 1].need = lease[l].need;
       lease[l].phase = OVER;
       lease[l].need = 0
     }
#endif
#if LISTS > 0
  :: d_step { /* given up */
       !calm && lease[l].phase == ASKING ->
       lease[l].phase = OVER;
       lease[l].need = 0;
       lease[l].born = 0;
       bury()
     }
#endif
  od
}

#define NAMES(l) (lease[l].phase == LEASED || lease[l].phase == ASKING)
#define UNNAMED(l) (row[l].state == OPEN && row[l].epoch == gateway[g].epoch && !NAMES(l))
#if ASKS == 1
#define ANY_UNNAMED UNNAMED(FIRST_OF(g))
#elif ASKS == 2
#define ANY_UNNAMED (UNNAMED(FIRST_OF(g)) || UNNAMED(FIRST_OF(g) + 1))
#else
#define ANY_UNNAMED (UNNAMED(FIRST_OF(g)) || UNNAMED(FIRST_OF(g) + 1) || UNNAMED(FIRST_OF(g) + 2))
#endif
#define SIBLING(g) (1 - (g))
#define GREETS(m) (KIND(m) == HELLO && OF(m) == g && EPOCH(m) == gateway[g].epoch && TERM(m) == term)
#if NET == 1
#define GREETING_UNDER_WAY GREETS(net[0])
#elif NET == 2
#define GREETING_UNDER_WAY (GREETS(net[0]) || GREETS(net[1]))
#else
#define GREETING_UNDER_WAY (GREETS(net[0]) || GREETS(net[1]) || GREETS(net[2]))
#endif
#if CRASHES == 1
#define MAY_CRASH(g) ((g) == 0) /* the gateways are alike: the one that crashes is called 0 */
#else
#define MAY_CRASH(g) true
#endif

inline fill(l) {
  if
  :: lease[l].phase == OVER ->
     m = m | (lease[l].settled << (13 + 2 * k)) | (lease[l].unresolved << (13 + 2 * ASKS + 2 * k))
#ifdef PROMOTED
  :: lease[l].phase == LEASED ->
     m = m | (lease[l].settled << (13 + 2 * k)) | (lease[l].returned << (13 + 6 * ASKS + 2 * k));
     m = m | ((lease[l].free + lease[l].held + lease[l].settled + lease[l].returned) << (13 + 4 * ASKS + 2 * k))
#endif
  :: else -> skip
  fi
}

inline sayHello() {
  m = MESSAGE(HELLO, g, gateway[g].epoch) | IN_TERM(term);
  for (k : 0 .. ASKS - 1) {
    fill(FIRST_OF(g) + k)
  }
  k = 0;
  gateway[g].term = term;
  said = m;
  put(said);
  said = 0
}

inline sayList() {
  gateway[g].listed++;
  m = MESSAGE(LIST, g, gateway[g].epoch) | NUMBERED(gateway[g].listed);
  for (k : 0 .. ASKS - 1) {
    if
    :: lease[FIRST_OF(g) + k].phase == LEASED -> m = m | (1 << (13 + 2 * k))
#ifdef WAITS_FOR_ALL_ASKS
    :: lease[FIRST_OF(g) + k].phase == ASKING -> m = m | MORE_VALUES(1)
#else
    :: lease[FIRST_OF(g) + k].phase == ASKING -> m = m | (1 << (13 + 2 * k))
#endif
    :: else -> skip
    fi
  }
  k = 0;
  said = m;
  put(said);
  said = 0
}

/* A run of a gateway: its end, the replay of its journal by its next run or by its sibling, its hello. */
proctype Run(byte g) {
  byte l, nth;

end:
  do
  :: d_step { /* killed: memory is gone */
       !calm && crashesLeft > 0 && gateway[g].state == UP && MAY_CRASH(g) ->
       crashesLeft--;
       gateway[g].state = DOWN;
       gateway[g].listed = 0;
       for (k : 0 .. ASKS - 1) {
         l = FIRST_OF(g) + k;
         if
         :: lease[l].phase != UNASKED -> lease[l].phase = OVER
         :: else -> skip
         fi;
         lease[l].need = 0;
         lease[l].free = 0;
         lease[l].stopped = 0;
         lease[l].returned = 0;
         lease[l].born = 0;
#ifdef NO_JOURNAL
         lease[l].held = 0;
         lease[l].settled = 0;
#endif
#ifdef SEGMENT_DROPPED
         lease[l].settled = (lease[l].dropped -> 0 : lease[l].settled)
#endif
       }
       bury();
       k = 0; l = 0
     }
  :: atomic { /* replayed: of a call that was open a part is estimated, the rest is unresolved */
       gateway[g].state == DOWN ->
       for (nth : 0 .. ASKS - 1) {
         l = FIRST_OF(g) + nth;
         do
         :: lease[l].held > 0 ->
            lease[l].held--;
            if
            :: lease[l].settled++; counted++
            :: lease[l].unresolved++
            fi
         :: else -> break
         od
       }
       nth = 0; l = 0;
       gateway[g].epoch++;
       if
       :: gateway[g].state = UP
       :: gateway[SIBLING(g)].state == UP -> gateway[g].state = ADOPTED
       fi
     }
  :: d_step { gateway[g].state != DOWN && (peer[g].greeted < gateway[g].epoch || !peer[g].met) && ROOM && !(calm && GREETING_UNDER_WAY) -> sayHello() }
#if LISTS > 0
  :: d_step {
       gateway[g].state == UP && ROOM && gateway[g].listed < 7 && ((!calm && g == 0 && gateway[g].listed < LISTS) || (calm && ANY_UNNAMED)) ->
       sayList()
     }
#endif
#ifdef ADOPTS_THE_LIVING
  :: d_step { /* a sibling takes a pause for the end, and closes what the journal has */
       !calm && gateway[g].state == UP && gateway[SIBLING(g)].state == UP && crashesLeft > 0 && ROOM ->
       crashesLeft--;
       m = MESSAGE(HELLO, g, gateway[g].epoch + 1);
       for (k : 0 .. ASKS - 1) {
         l = FIRST_OF(g) + k;
         m = m | (lease[l].settled << (13 + 2 * k)) | (lease[l].held << (13 + 2 * ASKS + 2 * k))
       }
       k = 0; l = 0;
       said = m;
       put(said);
       said = 0
     }
#endif
  od
}

#define HAS_OPEN(g, k) (row[FIRST_OF(g) + k].state == OPEN)

/* What a home notices by itself, for one gateway. */
proctype Watch(byte g) {
end:
  do
  :: d_step { /* silent for long */
       !calm && !peer[g].silent && (HAS_OPEN(g, 0) || HAS_OPEN(g, ASKS - 1)) && SILENCE ->
       peer[g].silent = 1;
       commit()
     }
  :: d_step { /* its heartbeats come again */
       peer[g].silent && gateway[g].state == UP && peer[g].fence == gateway[g].epoch ->
       peer[g].silent = 0;
       commit()
     }
#if LISTS > 0
  :: d_step { /* another owner: what the old one had in memory is gone, what the database has is not */
       !calm && peer[g].listed > 0 ->
       peer[g].listed = 0;
       for (k : FIRST_OF(g) .. FIRST_OF(g) + ASKS - 1) {
         row[k].missed = 0
       }
       k = 0
     }
#endif
  od
}

#ifdef PROMOTED
/* A database that lacks a grant takes over. */
proctype Promotion(byte l) {
end:
  do
  :: d_step {
       !calm && term == 0 && row[l].state == OPEN && row[l].settled + row[l].returned + row[l].unresolved == 0 ->
       row[l].state = NONE;
       row[l].epoch = 0;
       row[l].born = 0;
       row[l].missed = 0;
       row[l].amount = 0;
       term = 1;
       peer[0].met = 0;
       peer[1].met = 0;
       commit()
     }
  od
}
#endif

#if ASKS == 1
#define CALLS_RUN (lease[0].held + lease[1].held > 0)
#elif ASKS == 2
#define CALLS_RUN (lease[0].held + lease[1].held + lease[2].held + lease[3].held > 0)
#else
#define CALLS_RUN (lease[0].held + lease[1].held + lease[2].held + lease[3].held + lease[4].held + lease[5].held > 0)
#endif

/*
 * The calm. What happens in it can happen before it, too: so it is enough that it begins where nothing is under way, no
 * call runs and no gateway is down.
 */

/* III, IV: when all was delivered, all gateways are back or adopted and all calls have ended. */
proctype Rest() {
  d_step { net[0] == 0 && !CALLS_RUN && gateway[0].state != DOWN && gateway[1].state != DOWN -> calm = 1 }
  timeout ->
  d_step {
    assert(net[0] == 0);
    sum = 0;
    idle = 0;
    for (k : 0 .. LEASES - 1) {
      assert(lease[k].phase != ASKING); /* an ask that fits is granted in the end */
      assert(lease[k].held == 0);
      assert(row[k].state != OPEN || (lease[k].phase == LEASED && gateway[GATEWAY_OF(k)].state == UP)); /* nothing leaks */
      sum = sum + row[k].settled;
      idle = idle + lease[k].free
    }
    assert(gateway[0].state != DOWN && gateway[1].state != DOWN);
    assert(taken - firm == idle || peer[0].silent || peer[1].silent);
    assert(sum == counted); /* every settlement once */
    assert(taken - idle == spent) /* what nobody saw the end of stays unresolved */
  }
}

init {
  atomic {
    peer[0].met = 1;
    peer[1].met = 1;
    gateway[0].state = UP;
    gateway[1].state = UP;
    for (k : 0 .. NET - 1) {
      run Slot(k)
    }
    for (k : 0 .. LEASES - 1) {
      run Asked(k)
    }
    run Run(0);
    run Run(1);
    run Watch(0);
    run Watch(1);
#ifdef PROMOTED
    for (k : 0 .. LEASES - 1) {
      run Promotion(k)
    }
#endif
    run Rest()
  }
}
