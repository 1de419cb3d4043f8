// aimock with an answer for every request of a recording's way: words of a piece, a document that
// cites them, a vector; a tenth of the answers late. Prints its address.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [, , fakes] = process.argv;
const aimock = createRequire(`${fakes}/`).resolve("@copilotkit/aimock");
const { LLMock } = await import(pathToFileURL(aimock).href);

const LATE_SHARE = 0.1;
const LATE_MILLISECONDS = 2000;
const NAMES = "amber birch cedar delta ember flint grove heron iris jade kelp larch".split(" ");
let asked = 0;

const maybeLate = () =>
  process.env.LATE && Math.random() < LATE_SHARE
    ? new Promise((go) => setTimeout(go, LATE_MILLISECONDS))
    : undefined;

const heard = async () => {
  await maybeLate();
  asked += 1;
  const said = Array.from({ length: 8 }, (_, i) => NAMES[Math.floor(asked / 12 ** i) % 12]);
  const words = said.map((word, i) => ({ word, start: i * 0.3, end: i * 0.3 + 0.25 }));
  const text = said.join(" ");
  const segments = [{ id: 0, text, start: 0, end: 2.35 }];
  return { transcription: { text, language: "english", duration: 2.9, words, segments } };
};

const written = async () => {
  await maybeLate();
  asked += 1;
  const paragraphs = [{ text: `Point ${asked} was made.`, cites: [1] }];
  return {
    content: JSON.stringify({ title: "Notes", sections: [{ heading: "All", paragraphs }] }),
    usage: { input_tokens: 100, output_tokens: 50, total_tokens: 150 },
  };
};

const embedded = async () => {
  await maybeLate();
  return { embedding: Array.from({ length: 1536 }, (_, i) => (i === 0 ? 1 : 0)) };
};

const mock = new LLMock({ port: 0, journalMaxEntries: 0, logLevel: "silent" });
mock.on({ endpoint: "transcription" }, heard);
mock.on({ endpoint: "embedding" }, embedded);
mock.onMessage(/.*/s, written);
console.log(await mock.start());
