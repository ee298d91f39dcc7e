// The notes, in memory: a restart begins a new notebook.
const notes = new Map();
let last = 0;

export function add(author, title, text) {
  const note = { id: ++last, author, title, text, written: new Date().toISOString() };
  notes.set(note.id, note);
  return note;
}

export const all = () => [...notes.values()];
export const get = (id) => notes.get(Number(id));
export const remove = (id) => notes.delete(Number(id));

export function search(words) {
  const wanted = words.toLowerCase();
  return all().filter((n) => `${n.title}\n${n.text}`.toLowerCase().includes(wanted));
}

// problem says what is wrong with a note that a client sent, "" for nothing.
export function problem(title, text) {
  if (typeof title !== 'string' || !title.trim()) return 'a note needs a title';
  if (title.length > 120) return 'a title has at most 120 letters';
  if (typeof text !== 'string') return 'a note needs a text';
  if (text.length > 20_000) return 'a text has at most 20,000 letters';
  return '';
}

add('ada', 'On engines', 'The engine can arrange and combine its numerical quantities exactly as if they were letters.');
add('grace', 'A moth', 'First actual case of bug being found. Taped into the log at 15:45.');
add('ada', 'Tides & <em>moons</em>', 'Compare the table of tides under Downloads with next month.');
