/*
 * The words of a page, in the reader's language. words.en.js and words.hi.js have the same names,
 * each with a text, or with a text for each plural form of `count`. `{name}` in a text stands for a
 * value. In HTML, data-text names an element's text, and data-label its aria-label.
 */

const LANGUAGES = ['en', 'hi'];
const KEPT = 'trainhub.language';

const fileOf = (language) => new URL(`words.${language}.js`, import.meta.url).href;

/** The files of all languages. */
export const textFiles = LANGUAGES.map(fileOf);

/** Returns the language that was chosen here, else the first one of the browser that there is. */
export function chosenLanguage() {
  const wanted = [localStorage.getItem(KEPT), ...navigator.languages].map((each) => each?.slice(0, 2));
  return wanted.find((each) => LANGUAGES.includes(each)) ?? LANGUAGES[0];
}

export function chooseLanguage(language) {
  localStorage.setItem(KEPT, language);
}

export async function loadWords(language) {
  const { default: texts } = await import(fileOf(language));
  return new Words(language, texts);
}

class Words {
  #texts; #plural; #number; #minutes; #seconds; #day; #clocks = new Map();

  constructor(language, texts) {
    const locale = `${language}-IN`;
    const unit = (name) => new Intl.NumberFormat(locale, { style: 'unit', unit: name, unitDisplay: 'short' });
    this.language = language;
    this.locale = locale;
    this.#texts = texts;
    this.#plural = new Intl.PluralRules(locale);
    this.#number = new Intl.NumberFormat(locale);
    [this.#minutes, this.#seconds] = [unit('minute'), unit('second')];
    this.#day = new Intl.DateTimeFormat(locale, { day: 'numeric', month: 'long', year: 'numeric', timeZone: 'UTC' });
  }

  has(name) { return Object.hasOwn(this.#texts, name); }

  /** Returns a text with its values. Numbers are written as the language does. */
  say(name, values = {}) {
    let text = this.#texts[name] ?? name;
    if (typeof text === 'object') text = text[this.#plural.select(values.count)] ?? text.other;
    return text.replace(/\{(\w+)\}/g, (_, key) => (typeof values[key] === 'number' ? this.#number.format(values[key]) : values[key] ?? ''));
  }

  /** The time of day of a moment, an ISO text or ms, in a time zone. */
  clock(moment, timeZone) {
    if (!this.#clocks.has(timeZone)) {
      this.#clocks.set(timeZone, new Intl.DateTimeFormat(this.locale, { hour: '2-digit', minute: '2-digit', hourCycle: 'h23', timeZone }));
    }
    return moment === null ? '' : this.#clocks.get(timeZone).format(new Date(moment));
  }

  /** A date like 2026-11-23 in words. */
  day(date) { return this.#day.format(new Date(`${date}T00:00Z`)); }

  /** How long, as in "4 min 30 sec". */
  span(ms) {
    const seconds = Math.max(0, Math.round(ms / 1000));
    const minutes = Math.floor(seconds / 60);
    const parts = [minutes && this.#minutes.format(minutes), (minutes < 10 && this.#seconds.format(seconds % 60))];
    return parts.filter(Boolean).join(' ');
  }

  /** Writes the fixed texts of a page or of a template's copy. */
  fill(root) {
    for (const each of root.querySelectorAll('[data-text]')) each.textContent = this.say(each.dataset.text);
    for (const each of root.querySelectorAll('[data-label]')) each.setAttribute('aria-label', this.say(each.dataset.label));
  }

  /** Makes the whole page speak this language. */
  fillPage() {
    document.documentElement.lang = this.language;
    document.title = this.say(document.documentElement.dataset.title);
    this.fill(document);
  }
}
