/*
 * The words of a page, in the reader's language. words.en.js and words.hi.js have the same names,
 * each with a text, or with a text for each plural form of `count`; so have words.control.en.js and
 * words.control.hi.js for the control room. `{name}` in a text stands for a value. In HTML, data-text
 * names an element's text, data-label its aria-label, data-hint its title, and data-placeholder its
 * placeholder.
 */

const LANGUAGES = ['en', 'hi'];
const KEPT = 'trainhub.language';

const ATTRIBUTES = { label: 'aria-label', hint: 'title', placeholder: 'placeholder' };

const fileOf = (language, name) => new URL(`${name}.${language}.js`, import.meta.url).href;

/** The files of all languages, of the pages that work offline. */
export const textFiles = LANGUAGES.map((language) => fileOf(language, 'words'));

/** Returns the language that was chosen here, else the first one of the browser that there is. */
export function chosenLanguage() {
  const wanted = [localStorage.getItem(KEPT), ...navigator.languages].map((each) => each?.slice(0, 2));
  return wanted.find((each) => LANGUAGES.includes(each)) ?? LANGUAGES[0];
}

export function chooseLanguage(language) {
  localStorage.setItem(KEPT, language);
}

/** Loads the texts of a language; `name` begins the name of the file that has them. */
export async function loadWords(language, name = 'words') {
  const { default: texts } = await import(fileOf(language, name));
  return new Words(language, texts);
}

class Words {
  #texts; #plural; #number; #units; #day; #shortDay; #clocks = new Map();

  constructor(language, texts) {
    const locale = `${language}-IN`;
    const unit = (name) => new Intl.NumberFormat(locale, { style: 'unit', unit: name, unitDisplay: 'short' });
    this.language = language;
    this.locale = locale;
    this.#texts = texts;
    this.#plural = new Intl.PluralRules(locale);
    this.#number = new Intl.NumberFormat(locale);
    this.#units = Object.fromEntries(['day', 'hour', 'minute', 'second'].map((name) => [name, unit(name)]));
    this.#day = new Intl.DateTimeFormat(locale, { day: 'numeric', month: 'long', year: 'numeric', timeZone: 'UTC' });
    this.#shortDay = new Intl.DateTimeFormat(locale, { day: 'numeric', month: 'short', timeZone: 'UTC' });
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

  number(value) { return this.#number.format(value); }

  /** A date like 2026-11-23 in words. */
  day(date) { return this.#day.format(new Date(`${date}T00:00Z`)); }

  /** The day and the month of a date like 2026-11-23. */
  shortDay(date) { return this.#shortDay.format(new Date(`${date}T00:00Z`)); }

  /** How long, as in "4 min 30 sec". */
  span(ms) {
    const seconds = Math.max(0, Math.round(ms / 1000));
    const minutes = Math.floor(seconds / 60);
    const parts = [minutes && this.#units.minute.format(minutes), (minutes < 10 && this.#units.second.format(seconds % 60))];
    return parts.filter(Boolean).join(' ');
  }

  /** About how long, as in "2 days 3 hr" or "30 sec". */
  roughSpan(ms) {
    const seconds = Math.max(0, Math.round(ms / 1000));
    const [minute, hour, day] = [60, 3600, 86_400].map((unit) => Math.floor(seconds / unit));
    const parts = day ? { day, hour: hour % 24 } : hour ? { hour, minute: minute % 60 } : minute ? { minute } : { second: seconds };
    return Object.entries(parts).map(([unit, value]) => this.#units[unit].format(value)).join(' ');
  }

  /** Writes the fixed texts of a page or of a template. */
  fill(root) {
    for (const each of root.querySelectorAll('[data-text]')) each.textContent = this.say(each.dataset.text);
    for (const [key, attribute] of Object.entries(ATTRIBUTES)) {
      for (const each of root.querySelectorAll(`[data-${key}]`)) each.setAttribute(attribute, this.say(each.dataset[key]));
    }
  }

  /** Makes the whole page speak this language, with what is made of its templates from now on. */
  fillPage() {
    document.documentElement.lang = this.language;
    document.title = this.say(document.documentElement.dataset.title);
    this.fill(document);
    for (const { content } of document.querySelectorAll('template')) this.fill(content);
  }
}
