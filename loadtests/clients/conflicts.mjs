// Ways in which two devices meet, and what kinto.js tells: `here` and `there` are the edits of a record
// that both hold (but for `create`), `there` is published first; with `race`, between the pull and the
// push of `here`. `ends`, by strategy: the result of the synchronization here; with MANUAL each
// conflict (its type, the local and the remote record) and the result of the one after its
// resolution with n = 4; then the result there; at last the record's n on the server.
//
// Kinto gives these, too: `deploy/dev/clients.sh --suites kinto-js --against kinto`. Three of them
// surprise. A tombstone is no record, so that `If-Match` with its timestamp fails, without
// `details.existing`: then CLIENT_WINS creates the record anew. A local deletion that meets a change
// has no body to send: CLIENT_WINS repeats it as an update without data, which leaves the change. And
// a deletion of what is deleted already is an error 404 in the batch, which counts as published.
export const CASES = {
  "changed on both": {
    here: "change", there: "change",
    ends: {
      MANUAL: [
        { conflicts: 1 },
        ["incoming", { id: "ID", n: 1 }, { id: "ID", n: 2 }],
        { published: 1 },
        { updated: 1 },
        4,
      ],
      CLIENT_WINS: [{ published: 1, resolved: 1 }, { updated: 1 }, 1],
      SERVER_WINS: [{ resolved: 1 }, {}, 2],
    },
  },
  "changed here, deleted there": {
    here: "change", there: "delete",
    ends: {
      MANUAL: [
        { conflicts: 1 },
        ["incoming", { id: "ID", n: 1 }, { deleted: true, id: "ID" }],
        { skipped: 1 },
        {},
        "gone",
      ],
      CLIENT_WINS: [{ published: 1, resolved: 1 }, { created: 1 }, 1],
      SERVER_WINS: [{ resolved: 1 }, {}, "gone"],
    },
  },
  "deleted here, changed there": {
    here: "delete", there: "change",
    ends: {
      MANUAL: [
        { conflicts: 1, skipped: 1 },
        ["outgoing", { id: "ID" }, { id: "ID", n: 2 }],
        { published: 1 },
        { updated: 1 },
        4,
      ],
      CLIENT_WINS: [{ skipped: 1, published: 1, resolved: 1 }, {}, 2],
      SERVER_WINS: [{ skipped: 1, resolved: 1 }, {}, 2],
    },
  },
  "deleted on both": {
    here: "delete", there: "delete",
    ends: {
      MANUAL: [{ skipped: 1, published: 1 }, {}, "gone"],
      CLIENT_WINS: [{ skipped: 1, published: 1 }, {}, "gone"],
      SERVER_WINS: [{ skipped: 1, published: 1 }, {}, "gone"],
    },
  },
  "created on both": {
    here: "create", there: "create",
    ends: {
      MANUAL: [
        { conflicts: 1 },
        ["incoming", { id: "ID", n: 1 }, { id: "ID", n: 2 }],
        { published: 1 },
        { updated: 1 },
        4,
      ],
      CLIENT_WINS: [{ published: 1, resolved: 1 }, { updated: 1 }, 1],
      SERVER_WINS: [{ resolved: 1 }, {}, 2],
    },
  },
  "the same change on both": {
    here: "change", there: "change", values: [7, 7],
    ends: {
      MANUAL: [{ updated: 1 }, {}, 7],
      CLIENT_WINS: [{ updated: 1 }, {}, 7],
      SERVER_WINS: [{ updated: 1 }, {}, 7],
    },
  },
  "changed while pushing a change": {
    here: "change", there: "change", race: true,
    ends: {
      MANUAL: [
        { conflicts: 1 },
        ["outgoing", { id: "ID", n: 1 }, { id: "ID", n: 2 }],
        { published: 1 },
        { updated: 1 },
        4,
      ],
      CLIENT_WINS: [{ published: 1, resolved: 1 }, { updated: 1 }, 1],
      SERVER_WINS: [{ resolved: 1 }, {}, 2],
    },
  },
  "deleted while pushing a change": {
    here: "change", there: "delete", race: true,
    ends: {
      MANUAL: [
        { conflicts: 1 },
        ["outgoing", { id: "ID", n: 1 }, null],
        { skipped: 1 },
        {},
        "gone",
      ],
      CLIENT_WINS: [{ published: 1, resolved: 1 }, { created: 1 }, 1],
      SERVER_WINS: [{ resolved: 1 }, {}, "gone"],
    },
  },
  "changed while pushing a deletion": {
    here: "delete", there: "change", race: true,
    ends: {
      MANUAL: [
        { conflicts: 1 },
        ["outgoing", { id: "ID" }, { id: "ID", n: 2 }],
        { published: 1 },
        { updated: 1 },
        4,
      ],
      CLIENT_WINS: [{ published: 1, resolved: 1 }, {}, 2],
      SERVER_WINS: [{ resolved: 1 }, {}, 2],
    },
  },
  "deleted while pushing a deletion": {
    here: "delete", there: "delete", race: true,
    ends: {
      MANUAL: [{ published: 1 }, {}, "gone"],
      CLIENT_WINS: [{ published: 1 }, {}, "gone"],
      SERVER_WINS: [{ published: 1 }, {}, "gone"],
    },
  },
  "created while pushing a creation": {
    here: "create", there: "create", race: true,
    ends: {
      MANUAL: [
        { conflicts: 1 },
        ["outgoing", { id: "ID", n: 1 }, { id: "ID", n: 2 }],
        { published: 1 },
        { updated: 1 },
        4,
      ],
      CLIENT_WINS: [{ published: 1, resolved: 1 }, { updated: 1 }, 1],
      SERVER_WINS: [{ resolved: 1 }, {}, 2],
    },
  },
};
