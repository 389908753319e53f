#include "integration/demo/prompt_text.h"

#include <algorithm>

namespace sluice::integration::demo {

namespace {

constexpr std::string_view kQuestion =
    "\n\nQuestion: According to the text above, what does the keeper of the lock have to weigh before she "
    "opens the gates, and why does she begin with a little water?\n\nAnswer:";

constexpr std::string_view kText =
    R"(The canal between the two towns is older than either of them. It was dug by hand, in nine summers, to bring stone from the quarry in the hills down to the harbour, and for a long time nothing but stone was carried on it. The boats went down heavy and came back empty, and the men who worked them used to say that a canal is a road that has made up its mind: it goes where it goes, at the pace it likes, and no shouting will make it wider.

Halfway along the canal there is a lock. It is the only one, since the country is flat for most of the way, but it is deep, and every boat must pass through it. The upper gates are of oak, the lower ones of iron, and between them there is a chamber long enough for three boats in a row. In the wall of the upper gate there are small doors, called sluices, which can be raised by a crank. When a sluice is raised, water runs into the chamber even though the gate itself remains shut. It is in this way, and in no other, that the chamber is filled: the gate could not be moved against the weight of the water behind it.

The keeper of the lock in the years that concern us was a woman named Marit Halvorsen. She had taken the post from her father, who had taken it from his, and she kept a ledger as both of them had done. The ledger tells us the name of every boat, what it carried, the hour it came to the gates, the hour it left, and the height of the water on both sides. There are forty-one volumes. They are now in the library of the lower town, where anybody may read them, and where a young engineer did so one winter because he wished to know how the lock might be made faster.

What he found surprised him. He had expected that on the busiest days the boats would have waited longest, and that the remedy would be a larger chamber. But the ledger showed nothing of the kind. The longest delays fell on days of middling traffic, in dry summers, when the water above the lock stood low. On such days there was not enough water to fill the chamber to the brim for every boat, and a keeper who gave the first boat all that it could use had nothing left to give the second until the stream had filled the upper reach again. It was not the size of the chamber that ruled the day, and it was not the number of boats. It was the water, and above all the order in which the water was given away.

Marit Halvorsen had understood this long before him. In the ninth volume that is in her hand, a note stands in the margin, written smaller than the rest. It says: "Give each of them enough to float before you give any of them enough to be comfortable." The engineer copied the sentence out and pinned it above his desk. In the pages that follow the note he could see that she had lived by it. When four boats waited and the reach was low, she let in just so much water that each could clear the sill with a hand's breadth under its keel. Only when the last of the four had been promised its passage did she go back to the crank and let the chamber rise further, first for the boats that sat lowest and would gain most from another inch.

There was more to it than kindness. Some of the boats had a time to keep. The boat that carried the milk had to be at the harbour before the market opened, and the boat that carried the post had to meet the steamer, which did not wait. The stone had no such hurry: it had lain in the hill since the beginning of the world, and an afternoon more did it no harm. So the keeper wrote beside each name the hour at which the boat was wanted, and she let them through in the order of those hours, and not in the order in which they had come. The bargemen grumbled about it for a year, and after that they arranged their days by it, because a boat that said honestly when it was wanted was always let through by then, or was told in good time that it would not be.

This last point was, in the opinion of the engineer, the best of all. A boat that could not be let through in time had another way to go. There was an old road beside the canal, steep and rutted, and a load could be put on carts and driven down it. It cost more than the water did, and it was slow, but its slowness was known: three hours to the harbour, whatever the weather. When the keeper saw that the milk would come too late by water, she did not take its fee and hope. She sent her boy along the towpath to meet the boat, with word that the carts should be got ready, and the milk was at the market by its hour. There are thirty-two such entries in the ledger, and in only one of them did the cart arrive after the boat would have done. The keeper underlined that entry twice, and changed how she judged the stream from then on.

For she did judge it. Each morning she walked to the upper reach and looked at how fast the water ran over the weir, and she wrote it down. But she did not trust a single look. A shower in the hills could make the stream run high for an hour and then leave it as low as before; a miller who closed his gate could rob her of half of it without warning. So she took the measure of several days together, gave more weight to the latest, and planned with a little less than she had found. "Water that I count on and do not get," she wrote, "is a boat on the sill. Water that I get and have not counted on is a pleasant evening."

Of boats on the sill there were a few in the early volumes, from her grandfather's time, and they show what a keeper fears. A boat that is let in with too little water strikes the sill, and then it neither goes on nor goes back; it lies across the gates, and nobody else can pass until it has been unloaded and dragged off. For this reason there was one rule to which she made no exception. The lower gate was not opened until the boat had been measured, by the marks on her staff and not by eye, and had been found to float. A boat that was half afloat was not let through on the hope that it would manage. She would rather have it wait, or send its load by the road, than let it go in a state that nobody could answer for.

The engineer made his report in the spring. He did not ask for a larger chamber, and the council, which had already set aside the money, was somewhat put out. He asked instead for three small things. He asked for a second sluice in the upper gate, so that the water could be let in more finely. He asked for a gauge at the weir, which would write the height of the stream on a drum of paper by itself, by day and by night. And he asked that every boat should carry a card with the hour at which it was wanted, the depth that it could not do without, and the depth at which its master would have nothing more to wish for. With these, he wrote, any keeper could do what the best keeper had done, and the lock would carry as much as one of twice its size.

It was built as he had asked. The gauge is still there, and on most days one can hear it tick. The boats that come through now carry people for the most part, who have come to look at the lock and who are in no hurry at all, and the water that they need is a small part of what the stream can give. But when a dry summer comes, the keeper of today, who is a grand-niece of Marit Halvorsen, takes down the old staff from its hooks, and gives each of them enough to float before she gives any of them enough to be comfortable.)";

/// The first part of `text`, about `length` bytes of it, to the end of a paragraph if one ends near there.
std::string_view first_part(std::string_view text, std::size_t length) {
  if (length >= text.size()) return text;
  const std::size_t paragraph = text.rfind("\n\n", length);
  if (paragraph != std::string_view::npos && paragraph * 4 >= length * 3) return text.substr(0, paragraph);
  const std::size_t space = text.rfind(' ', length);
  return text.substr(0, space == std::string_view::npos ? length : space);
}

}  // namespace

std::string_view built_in_text() { return kText; }

ScenePrompts prompts_from(std::string_view text, bool quick) {
  const std::size_t size = text.size();
  const std::string_view long_part = first_part(text, quick ? size / 2 : size * 3 / 4);
  const std::string_view short_part = first_part(text, size / 4);
  return {.hand_over = std::string(short_part) + std::string(kQuestion),
          .reuse = std::string(long_part) + std::string(kQuestion)};
}

}  // namespace sluice::integration::demo
