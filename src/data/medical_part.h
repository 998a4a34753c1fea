// Which synsets of WordNet are medicine: those that are one of the roots below or stand below one (by what they are a
// kind of), and those whose topic is such a one. The roots are the noun synsets with one of these words:
//
//   ill health, symptom, injury                            what people suffer from
//   body part, body substance                              what they are made of (of animals too)
//   medical procedure, medical care, medicinal drug        what is done about it
//   medical instrument, health facility                    with what, and where
//   health professional, medical man                       by whom
//   medical science, anatomy, physiology                   what is known, cardiology and pathology among it
#pragma once

#include <vector>

#include "data/wordnet.h"

namespace landfall {

// For each synset, whether it is medicine.
std::vector<bool> medical_part(const WordNet& wordnet);

}  // namespace landfall
