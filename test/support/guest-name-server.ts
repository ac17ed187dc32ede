/** A name server inside a virtual machine, on 127.0.0.1: it knows one name. It is run by the bun in the program. */

function program(name: string, address: string): string {
  return `
const labels = ${JSON.stringify(name)}.split(".").map((label) => String.fromCharCode(label.length) + label);
const known = Buffer.from(labels.join("") + "\\0", "latin1");
await Bun.udpSocket({ hostname: "127.0.0.1", port: 53, socket: { data(socket, query, port, from) {
  let end = 12;
  while (query[end] !== 0) end += query[end] + 1;
  const question = query.subarray(12, end + 5);
  const isKnown = question.subarray(0, -4).equals(known);
  const answer = isKnown && question.readUInt16BE(question.length - 4) === 1
    ? Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, ${address.replaceAll(".", ", ")}])
    : Buffer.alloc(0);
  const header = Buffer.from([query[0], query[1], 0x81, isKnown ? 0x80 : 0x83, 0, 1, 0, answer.length > 0 ? 1 : 0, 0, 0, 0, 0]);
  socket.send(Buffer.concat([header, question, answer]), port, from);
} } });
setInterval(() => {}, 1 << 30);
`;
}

/** Shell commands that start it; for \`beside\` of a ReimageOptions. */
export function guestNameServer(name: string, address: string): string {
  return `cat >/name-server.js <<'END'
${program(name, address)}
END
until [ -e /proc/self/exe ] && ip addr show lo | grep -q 127.0.0.1; do sleep 0.1; done
BUN_BE_BUN=1 exec reimage run /name-server.js >/name-server.log 2>&1 </dev/null`;
}
